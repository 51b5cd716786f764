//! Saves. One script each; where a connection was lost and nobody knows what became of a save, what is stored is looked
//! at first, so that nothing that somebody else has stored meanwhile is undone.

use std::sync::Arc;

use redis::Value;

use super::layout;
use super::perform::{SAVE, hgetall, load};
use super::worker::Links;
use crate::error::{Error, Kind, Result};
use crate::fields::{self, Changes, Field};
use crate::store::{Basis, Create, Reply, Saved, Stored, Update};

/// How often a save in doubt is tried while others keep writing the same session.
const ATTEMPTS: usize = 32;

/// What a save sends: the fields, then the fields to be deleted, as `write()` of the scripts takes them.
pub struct Fields(pub Vec<String>);

impl Fields {
    /// The fields of what has changed; of a `first` save also the uuid and who writes. `ttl` in ms.
    pub fn new(
        changes: &Changes<'_>,
        keys: &[(String, Option<String>)],
        first: Option<(&str, &str)>,
        ttl: Option<u64>,
    ) -> Self {
        let mut set = vec!["ttl".to_owned(), layout::ttl_field(ttl.unwrap_or(0))];
        if let Some((uuid, by)) = first {
            set.extend(["uuid".to_owned(), uuid.to_owned()]);
            set.extend(["by".to_owned(), by.to_owned()]);
        }
        for (name, resource) in keys {
            set.extend([format!("@{name}"), resource.clone().unwrap_or_default()]);
        }
        for (name, value) in &changes.set {
            set.extend([format!(".{name}"), (*value).to_owned()]);
        }
        let mut all = vec![set.len().to_string()];
        all.append(&mut set);
        all.extend(changes.removed.iter().map(|name| format!(".{name}")));
        Self(all)
    }
}

/// What `save.lua` is called with.
struct Save<'a> {
    uuid: &'a str,
    home: &'a str,
    mode: &'static str,
    /// `''`, or version, writer and number.
    basis: String,
    added: &'a [(String, Option<String>)],
    known: &'a [String],
    ttl: Option<u64>,
    fields: Fields,
}

impl Save<'_> {
    async fn send(&self, links: &Links) -> Result<Value> {
        let others = self
            .known
            .iter()
            .filter(|name| *name != self.home && !self.added.iter().any(|(new, _)| new == *name));
        let keys: Vec<String> = self
            .added
            .iter()
            .map(|(name, _)| name)
            .chain(others)
            .map(|name| links.place(name))
            .collect();
        let (ttl, count) = (
            self.ttl.unwrap_or(0).to_string(),
            self.added.len().to_string(),
        );
        let mut arguments = vec![self.uuid, self.mode, &ttl, &self.basis, &count];
        arguments.extend(self.added.iter().map(|(name, _)| name.as_str()));
        arguments.extend(self.fields.0.iter().map(String::as_str));
        // One that has a number is done once, however often it is asked for.
        let twice = !self.basis.is_empty();
        links
            .script(&SAVE, self.home, &keys, &arguments, twice)
            .await
    }
}

/// Stores a session for the first time.
pub async fn create(links: &Links, create: &Create) -> Result<Saved> {
    if create.others.is_empty() {
        match first(links, create).await {
            Err(error) if is_lost(&error) => {}
            answered => return answered,
        }
    }
    if let Some(found) = load(links, &create.home).await?
        && *found.uuid == *create.uuid
    {
        let mine = with(&create.others, [&fields::EMPTY.into(), &create.text]);
        return match settle(links, &as_update(create, found), &mine).await? {
            Reply::Saved(saved) => Ok(saved),
            _ => Err(Error::gone(&create.uuid)),
        };
    }
    first(links, create).await
}

/// A first save that was done, or may have been, as an update of what it stored.
fn as_update(create: &Create, found: Stored) -> Update {
    Update {
        uuid: Arc::clone(&create.uuid),
        home: found.home,
        base: fields::EMPTY.into(),
        others: Vec::new(),
        text: Arc::clone(&create.text),
        seen: Vec::new(),
        known: found.keys.into_iter().map(|(name, _)| name).collect(),
        added: create.keys.clone(),
        ttl: create.ttl,
        basis: None,
    }
}

async fn first(links: &Links, create: &Create) -> Result<Saved> {
    let unreadable = |why| Error::corrupt(&create.home, why);
    let changes = Changes {
        set: fields::split(&create.text).map_err(unreadable)?,
        removed: Vec::new(),
    };
    let save = Save {
        uuid: &create.uuid,
        home: &create.home,
        mode: if create.adopt { "adopt" } else { "create" },
        basis: String::new(),
        added: &create.keys,
        known: &[],
        ttl: create.ttl,
        fields: Fields::new(
            &changes,
            &create.keys,
            Some((&create.uuid, &links.writer)),
            create.ttl,
        ),
    };
    let reply = save.send(links).await?;
    if reply == Value::Int(-1) {
        // Another session lives there that has other keys. Its own place has its uuid in the name.
        let home = format!("{}#{}", create.home, create.uuid);
        let save = Save {
            home: &home,
            mode: "create",
            ..save
        };
        let reply = save.send(links).await?;
        return Ok(Saved {
            home: Some(home),
            ..saved(&reply, &create.uuid)?
        });
    }
    saved(&reply, &create.uuid)
}

/// Stores what has changed.
pub async fn update(links: &Links, update: &Update) -> Result<Reply> {
    if update.others.is_empty() || update.basis.is_some() {
        let unreadable = |why| Error::corrupt(&update.home, why);
        let base = fields::split(&update.base).map_err(unreadable)?;
        let now = fields::split(&update.text).map_err(unreadable)?;
        match write(
            links,
            update,
            &fields::diff(&base, &now),
            update.basis.as_deref(),
        )
        .await
        {
            Err(error) if is_lost(&error) && update.basis.is_none() => {}
            answered => return answered,
        }
    }
    let mut mine = with(&update.others, [&update.base, &update.text]);
    mine.extend(update.seen.iter().map(Arc::clone));
    settle(links, update, &mine).await
}

fn with(others: &[Arc<str>], more: [&Arc<str>; 2]) -> Vec<Arc<str>> {
    others.iter().chain(more).map(Arc::clone).collect()
}

fn is_lost(error: &Error) -> bool {
    error.in_doubt && error.kind == Kind::Unavailable
}

async fn write(
    links: &Links,
    update: &Update,
    changes: &Changes<'_>,
    basis: Option<&Basis>,
) -> Result<Reply> {
    let basis = basis.map(|basis| {
        let insists = u8::from(basis.insists);
        format!("{} {} {insists}", basis.version, links.stamp())
    });
    let save = Save {
        uuid: &update.uuid,
        home: &update.home,
        mode: "update",
        basis: basis.unwrap_or_default(),
        added: &update.added,
        known: &update.known,
        ttl: update.ttl,
        fields: Fields::new(changes, &update.added, None, update.ttl),
    };
    match save.send(links).await? {
        Value::Array(parts) if parts.first() == Some(&Value::Int(-2)) => {
            let there = parts.into_iter().nth(1).unwrap_or(Value::Nil);
            let found = layout::resident(&update.home, there)?;
            found.map_or_else(
                || Err(Error::gone(&update.uuid)),
                |found| Ok(Reply::Conflict(Box::new(found))),
            )
        }
        reply => saved(&reply, &update.uuid).map(Reply::Saved),
    }
}

/// Stores what has changed where earlier attempts, the texts `mine`, may have been done or not.
async fn settle(links: &Links, update: &Update, mine: &[Arc<str>]) -> Result<Reply> {
    let unreadable = |why| Error::corrupt(&update.home, why);
    let now = fields::split(&update.text).map_err(unreadable)?;
    let mine = mine
        .iter()
        .map(|text| fields::split(text).map_err(unreadable))
        .collect::<Result<Vec<Vec<Field<'_>>>>>()?;
    let reply = links
        .surely(&update.home, hgetall(&links.place(&update.home)))
        .await?;
    let mut found = layout::resident(&update.home, reply)?;
    for attempt in 0..ATTEMPTS {
        let Some(stored) = found.filter(|stored| *stored.uuid == *update.uuid) else {
            return Err(Error::gone(&update.uuid));
        };
        let text: Arc<str> = stored.text.as_str().into();
        let changes = fields::settle(&fields::split(&text).map_err(unreadable)?, &mine, &now);
        let basis = Basis {
            version: stored.version,
            text: Arc::clone(&text),
            insists: attempt > 1,
        };
        match write(links, update, &changes, Some(&basis)).await? {
            Reply::Conflict(newer) => found = Some(*newer),
            answered => return Ok(answered),
        }
    }
    let message = "others kept writing the session while a save that was lost was to be repeated";
    Err(Error::new(Kind::Unavailable, message).doubtful())
}

fn saved(reply: &Value, uuid: &str) -> Result<Saved> {
    let strange =
        |reply: &Value| Error::new(Kind::Store, format!("Redis answered a save with {reply:?}"));
    match reply {
        Value::Int(0) => Err(Error::gone(uuid)),
        Value::Int(version) => Ok(Saved {
            version: version.unsigned_abs(),
            ..Saved::default()
        }),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(version), Value::BulkString(uuid)] => Ok(Saved {
                version: version.unsigned_abs(),
                uuid: Some(String::from_utf8_lossy(uuid).into_owned()),
                home: None,
            }),
            _ => Err(strange(reply)),
        },
        _ => Err(strange(reply)),
    }
}

//! The steps of dialogs that have one Call-ID, in whatever processes: each claims its name, is looked up by its tag, and
//! ends.

use std::rc::Rc;

use drachtio_session::engine::SaveMode;
use drachtio_session::session::{KEY_PREFIX, leg};

use super::log::Outcome;
use super::operations::{ended, failed};
use super::plan::{CALL_ID, DIALOGS, What};
use super::play::History;
use crate::glue::{Changes, Session};
use crate::server::{Text, joined};

/// The tag of the dialog with this number: some have the same one.
pub fn tag(dialog: u64) -> String {
    format!("t{}", dialog % 4)
}

impl History {
    /// A dialog begins; its session may have another key before.
    pub(super) fn dialog(&mut self, first: usize, second: usize) -> usize {
        let actor = self.slots[first % self.slots.len()];
        self.last_dialog += 1;
        let number = self.last_dialog;
        let mut entry = self.entry(What::Dialog, DIALOGS, actor);
        let is_challenged = second.is_multiple_of(5);
        let own: Option<Text> = (second % 3 == 1).then(|| format!("mks:own-{number}").into());
        entry.status = if is_challenged { 401 } else { 200 };
        entry.value = Some(number);
        entry.key = Some(joined(KEY_PREFIX, CALL_ID));
        let object = Session::create(&self.processes[actor]);
        entry.outcome.uuid = Some(object.uuid());
        self.operate(entry, |_| async move {
            let flags = if is_challenged { " ?" } else { "" };
            let leg = format!("<{}{flags}", tag(number));
            let owner: Changes = vec![("owner".into(), Some(number.to_string().into()))];
            object.change(&owner);
            object.retain();
            let result = async {
                if let Some(own) = own {
                    object.add_key(&own)?;
                    object.write(SaveMode::Always, false).await?;
                }
                object.add_dialog(&joined(KEY_PREFIX, CALL_ID), &leg)?;
                let mode = if is_challenged {
                    SaveMode::ForRetry
                } else {
                    SaveMode::Always
                };
                object.write(mode, false).await
            };
            let result = result.await;
            object.release();
            ended(result)
        })
    }

    /// A process looks a dialog up by its tag, and ends it with `hangs_up`.
    pub(super) fn find_dialog(
        &mut self,
        first: usize,
        second: usize,
        hangs_up: bool,
    ) -> Option<usize> {
        let number = 1 + second as u64 % self.last_dialog.max(1);
        if self.last_dialog == 0 {
            return None;
        }
        let actor = self.slots[first % self.slots.len()];
        let what = if hangs_up {
            What::HangUp
        } else {
            What::FindDialog
        };
        let mut entry = self.entry(what, DIALOGS, actor);
        entry.value = Some(number);
        entry.key = Some(joined(KEY_PREFIX, CALL_ID));
        Some(self.operate(entry, |process| async move {
            let found = match process.find_dialog(CALL_ID, &tag(number)).await {
                Ok(Some(found)) => found,
                Ok(None) => return Outcome::default(),
                Err(error) => return failed(error),
            };
            let mut outcome = Outcome {
                found: true,
                uuid: Some(found.uuid()),
                data: found.data(),
                ..Outcome::default()
            };
            if hangs_up {
                for name in found.keys() {
                    outcome.error = outcome.error.or(found.delete_key(&name).await.err());
                }
            }
            outcome
        }))
    }

    /// The names that dialogs may have.
    pub(super) fn dialog_names(&self) -> Vec<Text> {
        let name = joined(KEY_PREFIX, CALL_ID);
        let log = self.log.borrow();
        let dialogs = log.entries.iter().filter(|op| op.what == What::Dialog);
        let others = dialogs.flat_map(|op| {
            let leg = format!("<{}", tag(op.value.unwrap_or(0)));
            let uuid = op.outcome.uuid.clone().unwrap_or_else(|| "".into());
            let tagged = leg::alternative(&name, Some(&leg), &uuid);
            let last = tagged
                .as_ref()
                .and_then(|tagged| leg::alternative(tagged, Some(&leg), &uuid));
            tagged.into_iter().chain(last)
        });
        let mut names: Vec<Text> = std::iter::once(Rc::clone(&name)).chain(others).collect();
        names.sort();
        names.dedup();
        names
    }
}

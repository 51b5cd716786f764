//! Each store operation as Redis commands. Most take one round trip; `docs/storage.md` lists them.

use super::client::Client;
use super::load::load;
use super::{remove, save, scan, values};
use crate::error::Result;
use crate::store::backend::{Reply, StoreOp};

/// Does `op`. Where it fails, `op` is changed to what must be repeated: a first save notes that its session was
/// displaced, a removal whose key it is.
///
/// # Errors
/// See each operation. [`crate::error::Error::in_doubt`] is set where Redis may have executed the operation.
pub async fn execute(client: &Client, op: &mut StoreOp) -> Result<Reply> {
    let done = |()| Reply::Done;
    match op {
        StoreOp::Load { name } => {
            let found = load(client, name).await?;
            Ok(Reply::Loaded(found.map(Box::new)))
        }
        StoreOp::Create(create) => save::create(client, create).await.map(Reply::Saved),
        StoreOp::Update(update) => save::update(client, update).await,
        StoreOp::RemoveKey(removal) => {
            let (left, version) = remove::remove_key(client, removal).await?;
            Ok(Reply::Removed { left, version })
        }
        StoreOp::Destroy(destroy) => {
            remove::destroy(client, destroy).await?;
            Ok(Reply::Removed {
                left: 0,
                version: 0,
            })
        }
        StoreOp::Get { name } => values::get(client, name).await.map(Reply::Text),
        StoreOp::Set { name, text, ttl } => values::set(client, name, text, *ttl).await.map(done),
        // In boxes of their own: the future of every operation is as large as that of the largest one.
        StoreOp::Delete { name } => Box::pin(values::delete(client, name)).await.map(done),
        StoreOp::Touch { name, ttl } => Box::pin(values::touch(client, name, *ttl)).await.map(done),
        StoreOp::Ids => scan::ids(client).await.map(Reply::Texts),
        StoreOp::All => scan::all(client).await.map(Reply::Texts),
        StoreOp::Length => {
            let ids = scan::ids(client).await?;
            Ok(Reply::Count(ids.len() as u64))
        }
        StoreOp::Clear => scan::clear(client).await.map(done),
        StoreOp::Ping => client.ping().await.map(done),
        StoreOp::Close => Ok(Reply::Done),
    }
}

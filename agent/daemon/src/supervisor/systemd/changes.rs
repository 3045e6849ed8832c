//! What may change whether sessions can be started: systemd or polkit comes or goes, systemd reads its units anew, polkit
//! its rules, or the bus is lost. All of it is told by signals, so nobody has to look again and again.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use zbus::Connection;

use super::bus::{AuthorityProxy, Bus, failed, manager, subscribe};
use crate::supervisor::SupervisorError;

/// Everything of that from now on; ends when the bus is lost.
pub(super) async fn of(bus: &Bus) -> Result<BoxStream<'static, ()>, SupervisorError> {
    let connection = bus.connection().await?;
    let of_systemd = |source| failed("watch", "systemd", source);
    let of_polkit = |source| failed("watch", "polkit", source);
    let systemd = manager(&connection).await?;
    let reloads = systemd.receive_reloading().await.map_err(of_systemd)?;
    let reloads = reloads.filter_map(async |signal| {
        let is_done = signal.args().is_ok_and(|args| !args.active());
        is_done.then_some(())
    });
    let owners = systemd.inner().receive_owner_changed().await;
    let again = connection.clone();
    let owners = owners.map_err(of_systemd)?.then(move |owner| {
        let connection = again.clone();
        async move {
            // systemd has executed itself anew, and sends this client no signals any more.
            if owner.is_some()
                && let Err(error) = subscribe(&connection).await
            {
                tracing::debug!(error = %crate::text::chain(&error), "no signals of systemd");
            }
        }
    });
    let polkit =
        AuthorityProxy::builder(&connection).cache_properties(zbus::proxy::CacheProperties::No);
    let polkit = polkit.build().await.map_err(of_polkit)?;
    let rules = polkit.receive_changed().await.map_err(of_polkit)?;
    let comings = polkit.inner().receive_owner_changed().await;
    let comings = comings.map_err(of_polkit)?;
    let changes = stream::select(
        stream::select(reloads, owners),
        stream::select(rules.map(drop), comings.map(drop)),
    );
    Ok(changes.take_until(lost(connection)).boxed())
}

/// Resolves when the connection is.
async fn lost(connection: Connection) {
    connection.closed().await;
}

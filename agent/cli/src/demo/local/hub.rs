//! The hub of a fleet on this machine.

use std::path::Path;

use e3_client::clock;
use e3_hub::{Location, Settings};
use tokio::sync::oneshot;

use crate::commands::hub;
use crate::error::Error;
use crate::fleet_file::Fleet;

/// A hub in a thread of its own.
pub(super) struct HubThread {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl HubThread {
    /// The hub has a thread of its own, so that nothing that is measured here waits for it.
    pub(super) fn start(fleet: &Fleet, store: &Path, port: u16) -> Result<Self, Error> {
        let settings = Settings::new(
            Location::Folder(store.to_owned()),
            ([127, 0, 0, 1], port).into(),
            clock::now,
        );
        let fleet = fleet.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(Error::Runtime(error)))),
            };
            runtime.block_on(async {
                let (end, ended) = oneshot::channel::<()>();
                let shutdown = async { drop(ended.await) };
                match hub::serve::start(Some(&fleet), settings, shutdown).await {
                    Ok(bound) => {
                        let _ = tell.send(Ok(()));
                        let _ = stopped.await;
                        let _ = end.send(());
                        bound.stopped().await;
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        });
        let gone = || Error::Runtime(std::io::Error::other("the hub's thread has ended"));
        told.recv().map_err(|_| gone())??;
        Ok(Self { stop, thread })
    }

    /// Stops it; when this returns its port is free again.
    pub(super) fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// A port of this machine that nobody holds right now.
pub(in crate::demo) fn free_port() -> Result<u16, Error> {
    let bound =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(Error::Runtime)
}

//! Notices that this machine has got other addresses, or another way out: a cable in the place of a radio.
//!
//! Nothing else would tell it for a while: connections from an address that is gone are not broken, they are silent. The kernel
//! says that something has changed; what it is now is looked at, and only a difference counts. What is waited for at the hub is
//! given up then, and whoever [listens](crate::shared::Parts::moves) begins anew.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::address::{self, Place};
use crate::mesh;
use crate::shared::Shared;

/// Addresses and routes of both families (`RTMGRP_IPV4_IFADDR` and so on, rtnetlink(7)).
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// An address, its network and the way out come one after the other.
const GATHER: Duration = Duration::from_millis(100);

/// Watches for ever.
pub async fn run(shared: Shared) {
    let news = match News::open() {
        Ok(news) => news,
        Err(error) => {
            tracing::warn!(%error, "this machine's addresses cannot be watched: connections to the hub may hang for a while when they change");
            return;
        }
    };
    let mut place = Place::now();
    while news.next().await.is_ok() {
        tokio::time::sleep(GATHER).await;
        news.forget();
        let now = Place::now();
        if now == place {
            continue;
        }
        place = now;
        let addresses = address::advertised(&shared.settings.advertise, shared.port);
        tracing::info!(
            addresses = addresses.join(" "),
            "this machine's addresses have changed"
        );
        shared.hub.moved();
        mesh::moved(&shared);
        shared.moves.send_modify(|moves| *moves += 1);
    }
}

/// The kernel's news. What they say is not read: it is the same for whoever looks.
struct News(AsyncFd<OwnedFd>);

impl News {
    fn open() -> std::io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let route = SockProtocol::NetlinkRoute;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, route)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; this one owns its descriptor"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self(fd))
    }

    /// Waits until there are some.
    async fn next(&self) -> std::io::Result<()> {
        self.0.readable().await?.retain_ready();
        Ok(())
    }

    /// Takes all that there are, so that the next ones are waited for.
    fn forget(&self) {
        let take = |fd: &OwnedFd| {
            loop {
                match recv(fd.as_raw_fd(), &mut [0; 8192], MsgFlags::empty()) {
                    Err(Errno::EAGAIN) => return Err(Errno::EAGAIN.into()),
                    // Or there were more than the kernel keeps.
                    Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                    Err(error) => return std::io::Result::<()>::Err(error.into()),
                }
            }
        };
        let _ = self.0.try_io(Interest::READABLE, take);
    }
}

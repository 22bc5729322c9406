//! Ports that the kernel chooses and that stay ours.

use anyhow::{Context as _, Result};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// A free port on the loopback interface, kept for one of our processes.
///
/// The socket is bound but does not listen. Both it and the listeners of Go programs allow the reuse of
/// an address, so the process can take the port over at any time, while the kernel gives it to nobody
/// else who asks for a free one.
pub struct Port {
    number: u16,
    _reservation: TcpSocket,
}

impl Port {
    /// Reserves a port.
    ///
    /// # Errors
    /// When the kernel has none.
    pub fn reserve() -> Result<Self> {
        let bind = || -> std::io::Result<Self> {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            Ok(Self { number: socket.local_addr()?.port(), _reservation: socket })
        };
        bind().context("the kernel gives no free port on 127.0.0.1")
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

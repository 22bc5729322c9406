//! A door in front of an API server that can be shut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub(crate) struct Proxy {
    port: u16,
    /// While this file is there the door is shut.
    shut_by: Arc<Mutex<Option<PathBuf>>>,
}

impl Proxy {
    /// A door to an address; it goes with the process.
    pub(crate) fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shut_by: Arc<Mutex<Option<PathBuf>>> = Arc::default();
        let (address, shut) = (address.to_owned(), shut_by.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(there) = TcpStream::connect(&address) {
                    pump(stream.try_clone().unwrap(), there.try_clone().unwrap(), shut.clone());
                    pump(there, stream, shut.clone());
                }
            }
        });
        Self { port, shut_by }
    }

    pub(crate) fn down_while(&self, file: PathBuf) {
        *self.shut_by.lock().unwrap() = Some(file);
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shut_by: Arc<Mutex<Option<PathBuf>>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count) = from.read(&mut bytes) {
            let is_shut = shut_by.lock().unwrap().as_ref().is_some_and(|file| file.exists());
            if count == 0 || is_shut || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

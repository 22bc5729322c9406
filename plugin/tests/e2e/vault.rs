//! A stand-in for Vault's transit engine: it does what its token's holder asks, and nothing for anybody else. What it
//! gives out is no cipher; that a controller reaches it with the right token is what is to be seen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Serves until the process ends; gives its address.
pub(crate) fn serve(token: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away concerns nobody else.
            std::thread::spawn(move || answer(stream, token));
        }
    });
    address
}

fn answer(mut stream: TcpStream, token: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length, mut is_known) = (String::new(), 0, false);
    reader.read_line(&mut head)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "x-vault-token" => is_known = value == token,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let given = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let (status, told) = match head.split(' ').nth(1) {
        _ if !is_known => ("403 Forbidden", serde_json::json!({"errors": ["permission denied"]})),
        Some("/v1/transit/encrypt/flux") => {
            let ciphertext = format!("vault:v1:{}", given("plaintext"));
            ("200 OK", serde_json::json!({"data": {"ciphertext": ciphertext}}))
        }
        Some("/v1/transit/decrypt/flux") => {
            let plaintext = given("ciphertext").trim_start_matches("vault:v1:").to_owned();
            ("200 OK", serde_json::json!({"data": {"plaintext": plaintext}}))
        }
        _ => ("404 Not Found", serde_json::json!({"errors": []})),
    };
    let told = told.to_string();
    let length = told.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{told}"
    )
}

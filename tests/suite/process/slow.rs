//! Configured limits for slow clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::home::{Home, SOON};

#[test]
fn the_configured_limits_close_slow_clients_and_leave_others_alone() {
    let home = Home::new();
    home.configure(
        "[limits]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"1s\"\nmax_connections = 20\n",
    );
    let server = home.serve();
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = [
        "",
        "GET /healthz HT",
        "POST /api/v1/login HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n",
    ]
    .iter()
    .map(|said| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    })
    .collect();
    let mut good = server.client();
    let mut longest = Duration::ZERO;
    while begun.elapsed() < Duration::from_millis(900) {
        let asked = Instant::now();
        assert_eq!(good.get("/healthz").status, 200);
        longest = longest.max(asked.elapsed());
    }
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    for stream in &mut slow {
        let mut rest = Vec::new();
        // Some are reset, since the server did not read their input.
        let _ = stream.read_to_end(&mut rest);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert_eq!(good.get("/healthz").status, 200);
}

//! A client's socket: it tells the connection's [`Progress`] what moves, and closes with care.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Limits;
use super::progress::{Progress, Sending};

/// What the kernel may hold of an answer that nobody reads (it doubles the figure for its own
/// needs). Left alone it grows to several megabytes a connection.
const SEND_BUFFER: usize = 128 * 1024;

/// What is read at most of a request that has its answer.
const LINGER_BYTES: usize = 1024 * 1024;

pub(super) struct Socket {
    stream: TcpStream,
    progress: Arc<Progress>,
    closing: Closing,
}

enum Closing {
    No,
    Lingering { left: usize },
    Done,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>, limits: &Limits) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(SEND_BUFFER)?;
        // For the bytes that the kernel holds when the process believes an answer sent: a client
        // that vanished or never reads must not keep them, not even after the connection is closed.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(limits.stall_time))?;
        Ok(Self {
            stream,
            progress,
            closing: Closing::No,
        })
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.progress.took(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.progress.blocked(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.progress.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty, and only then.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    /// Says that no more will come and, where the client may still be sending a request that was
    /// refused halfway, reads on for a while: closing on unread bytes makes the kernel send a
    /// reset, which takes the answer away from a client that has not read it yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.closing {
                Closing::No => {
                    ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                    this.closing = match this.progress.finished() {
                        Sending::No => Closing::Done,
                        Sending::Perhaps => Closing::Lingering { left: LINGER_BYTES },
                    };
                }
                Closing::Lingering { left } => {
                    let mut scratch = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut scratch);
                    let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
                    *left = left.saturating_sub(buffer.filled().len());
                    if read.is_err() || buffer.filled().is_empty() || *left == 0 {
                        this.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_knows_the_limits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let limits = Limits {
            stall_time: Duration::from_millis(1234),
            ..Limits::default()
        };
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), None);

        let socket = Socket::new(stream, Arc::new(Progress::new()), &limits).unwrap();

        let raw = SockRef::from(&socket.stream);
        assert_eq!(raw.tcp_user_timeout().unwrap(), Some(limits.stall_time));
        assert!(raw.send_buffer_size().unwrap() <= 2 * SEND_BUFFER);
        assert!(socket.stream.nodelay().unwrap());
    }
}

//! A client's socket: reports activity to the connection's [`Progress`] and closes without losing the
//! response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Limits;
use super::progress::{Progress, Sending};

/// The size of the kernel's send buffer, which the kernel doubles for its own needs. By default it
/// grows to several megabytes per connection that is not read.
const SEND_BUFFER: usize = 128 * 1024;

/// The maximum number of bytes discarded after the response.
const LINGER_BYTES: usize = 1024 * 1024;

/// A client's TCP connection. Reports how fast the client reads, with TLS in encrypted bytes.
pub(super) struct Wire {
    stream: TcpStream,
    progress: Arc<Progress>,
}

/// What hyper reads requests from and writes responses to: a [`Wire`], or TLS over one.
pub(super) struct Socket<S> {
    stream: S,
    progress: Arc<Progress>,
    closing: Closing,
}

enum Closing {
    No,
    Lingering { left: usize },
    Done,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>, limits: &Limits) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(SEND_BUFFER)?;
        // Limits how long the kernel keeps sent bytes that the client does not acknowledge, also after
        // the connection is closed.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(limits.stall_time))?;
        Ok(Self { stream, progress })
    }

    /// Waits until the client has sent something or disconnected.
    pub(super) async fn has_received(&self) -> io::Result<()> {
        // `readable` may return before there is a byte.
        self.stream.peek(&mut [0]).await.map(drop)
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.progress.client_read(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.progress.blocked(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            progress,
            closing: Closing::No,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called by hyper only when its own buffer is empty. TLS holds up to 64 KiB more, which it sends first.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    /// Shuts down the sending side and, if the client may still be sending a request that was refused
    /// halfway, discards input for a while. Closing with unread input makes the kernel send a reset,
    /// which destroys a response that the client has not read yet.
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

        let wire = Wire::new(stream, Arc::new(Progress::new()), &limits).unwrap();

        let raw = SockRef::from(&wire.stream);
        assert_eq!(raw.tcp_user_timeout().unwrap(), Some(limits.stall_time));
        assert!(raw.send_buffer_size().unwrap() <= 2 * SEND_BUFFER);
        assert!(wire.stream.nodelay().unwrap());
    }
}

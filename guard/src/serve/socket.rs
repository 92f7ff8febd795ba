//! A client's socket with a time limit.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Fails when a request takes longer than `patience` from its first byte until its answer is sent, or when the client
/// sends none for as long.
pub(super) struct Socket<S> {
    stream: S,
    patience: Duration,
    deadline: Instant,
    /// Whether bytes of a request have arrived since the last answer.
    in_request: bool,
    /// Setting a timer costs more than a request, so that it stays as set, and the deadline is checked when it fires.
    alarm: Pin<Box<Sleep>>,
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self {
            stream,
            patience,
            deadline,
            in_request: false,
            alarm: Box::pin(sleep_until(deadline)),
        }
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        while self.alarm.as_mut().poll(cx).is_ready() {
            if self.alarm.deadline() >= self.deadline {
                return true;
            }
            self.alarm.as_mut().reset(self.deadline);
        }
        false
    }

    /// Lets the result through, but fails if it is pending and the time is over.
    fn within<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() && self.is_overdue(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.deadline = Instant::now() + self.patience;
            self.in_request = false;
        }
        self.within(cx, written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        ready!(self.within(cx, read))?;
        if buffer.filled().len() > before && !self.in_request {
            self.deadline = Instant::now() + self.patience;
            self.in_request = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{advance, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(75);

    fn pair() -> (DuplexStream, Socket<DuplexStream>) {
        let (client, server) = duplex(8);
        (client, Socket::new(server, PATIENCE))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_dropped_at_the_limit() {
        let (_client, mut socket) = pair();
        let began = Instant::now();
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bytes_extend_no_request() {
        let (mut client, mut socket) = pair();
        let began = Instant::now();
        tokio::spawn(async move {
            while client.write_u8(b'G').await.is_ok() {
                sleep(PATIENCE / 10).await;
            }
        });
        while socket.read_u8().await.is_ok() {}
        assert!(
            began.elapsed() <= PATIENCE + PATIENCE / 10,
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_begins_a_new_time() {
        let (mut client, mut socket) = pair();
        for _ in 0..3 {
            advance(PATIENCE * 9 / 10).await;
            client.write_u8(b'G').await.unwrap();
            socket.read_u8().await.unwrap();
            socket.write_u8(b'H').await.unwrap();
            client.read_u8().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_no_answer_is_dropped() {
        let (_client, mut socket) = pair();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}

//! What a command is doing, while it does it: a person who waits is told what for.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Voice, line, notice};

/// On a terminal: how long something takes before its seconds are shown.
const SHOWN_AFTER: Duration = Duration::from_secs(5);
/// Elsewhere, where lines stay: the first line after this, the next ones at twice the time each.
const TOLD_AFTER: Duration = Duration::from_secs(15);

/// A spinner, or a bar once a total is known, on a terminal's standard error; elsewhere a line now and then about what takes
/// long. Says nothing to machines.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    watch: Option<Watch>,
}

/// A thread that tells how long the present thing has taken.
#[derive(Debug)]
struct Watch {
    /// What is being done; nothing where that is seen otherwise.
    doing: Sender<Option<String>>,
    thread: JoinHandle<()>,
}

impl Progress {
    pub fn start(voice: Voice, what: &str) -> Self {
        if voice != Voice::Person {
            return Self { bar: None, watch: None };
        }
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let (doing, told) = channel();
        let shown = bar.clone();
        let thread = std::thread::spawn(move || match shown {
            Some(bar) => watch(&told, SHOWN_AFTER, |_| Duration::from_secs(1), |what| bar.set_message(what)),
            None => watch(&told, TOLD_AFTER, |waited| waited, |what| notice(&format!("still {what}"))),
        });
        let progress = Self { bar, watch: Some(Watch { doing, thread }) };
        progress.tell(Some(what));
        progress
    }

    fn tell(&self, what: Option<&str>) {
        if let Some(watch) = &self.watch {
            // The thread ends after this sender only.
            drop(watch.doing.send(what.map(str::to_owned)));
        }
    }

    pub fn say(&self, what: &str) {
        self.tell(Some(what));
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Prints a line to standard output without disturbing what is shown.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    /// Blocks read of a total, with rate and time left.
    pub fn blocks(&self, done: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        self.tell(None);
        if bar.length() != Some(total) {
            bar.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} blocks  {per_sec}  {eta} left") {
                bar.set_style(style);
            }
        }
        bar.set_position(done);
    }

    /// Shows bytes done, of a total where it is known.
    pub fn bytes(&self, what: &str, done: u64, total: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        self.tell(None);
        bar.set_message(what.to_owned());
        if let Some(total) = total {
            if bar.length() != Some(total) {
                bar.set_length(total);
                if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
                    bar.set_style(style);
                }
            }
            bar.set_position(done);
        }
    }

    /// Takes it off the screen.
    pub fn finish(&self) {
        self.tell(None);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
        if let Some(Watch { doing, thread }) = self.watch.take() {
            drop(doing);
            // A thread that panicked has nothing to say.
            drop(thread.join());
        }
    }
}

/// Shows `what (n s)` of everything that takes longer than `first`, and again after each `next`, until nobody tells any more.
/// The same told again is the same thing still.
fn watch(told: &Receiver<Option<String>>, first: Duration, next: impl Fn(Duration) -> Duration, show: impl Fn(String)) {
    let (mut what, mut since, mut due) = (None::<String>, Instant::now(), first);
    loop {
        let heard = match &what {
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => told.recv_timeout(due.saturating_sub(since.elapsed())),
        };
        match heard {
            Ok(same) if same == what => {}
            Ok(other) => (what, since, due) = (other, Instant::now(), first),
            Err(RecvTimeoutError::Timeout) => {
                let waited = since.elapsed();
                if let Some(what) = &what {
                    show(format!("{what} ({} s)", waited.as_secs()));
                }
                due = waited + next(waited);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Whoever waits is told what for; what is over, and what nobody waits for, is not told of.
    #[test]
    fn what_takes_long_is_told() {
        let (doing, told) = channel();
        let (shown, seen) = channel();
        let shown = Mutex::new(shown);
        let show = move |text: String| drop(shown.lock().unwrap().send(text));
        let thread = std::thread::spawn(move || watch(&told, Duration::from_millis(1), |_| Duration::from_millis(1), show));
        for what in ["reading", "writing"] {
            doing.send(Some(what.to_owned())).unwrap();
            let mut lines = seen.iter().skip_while(|line| !line.starts_with(what));
            assert_eq!(lines.next().unwrap(), format!("{what} (0 s)"));
        }
        doing.send(None).unwrap();
        drop(doing);
        thread.join().unwrap();
    }
}

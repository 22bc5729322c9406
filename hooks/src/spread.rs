//! Work for all cores: one thread lists what there is to do, others do it, and what they find comes out in the
//! order of the list.
//!
//! The queue between them is short, so that memory does not grow with the work. Little work is done where it was
//! listed: a thread costs more than a few files.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// Up to this weight, threads are not worth it.
const LITTLE: usize = 200;

/// Jobs are handed over in batches of about this weight, because handing over costs, too.
const BATCH: usize = 64;

/// How many batches wait for each worker.
const WAITING: usize = 4;

/// What is done for each job.
pub(crate) trait Work: Sync {
    /// What each thread needs one of.
    type Tool: Send;
    /// What there is to do.
    type Job: Send;
    /// What comes of it.
    type Done: Send;
    /// Why it cannot go on.
    type Fault: Send;

    /// A tool like this one for another thread.
    fn another(&self, tool: &Self::Tool) -> Result<Self::Tool, Self::Fault>;

    /// Does a job; `None` where nothing comes of it.
    fn one(&self, tool: &Self::Tool, job: Self::Job) -> Result<Option<Self::Done>, Self::Fault>;
}

/// Takes jobs, each with its weight.
pub(crate) type Give<'g, W> = dyn FnMut(<W as Work>::Job, usize) -> Result<(), <W as Work>::Fault> + 'g;

/// Does everything that `list` gives away; what comes of it is in that order.
///
/// # Errors
/// The first fault of the list or of a worker. A panic of a worker goes on in the caller.
pub(crate) fn spread<W: Work>(
    work: &W,
    tool: &W::Tool,
    list: impl FnOnce(&mut Give<'_, W>) -> Result<(), W::Fault>,
) -> Result<Vec<W::Done>, W::Fault> {
    let mut done = std::thread::scope(|scope| {
        let mut batch = Vec::new();
        let (mut number, mut weight, mut handed) = (0, 0, 0);
        let mut crew: Option<Crew<'_, W>> = None;
        list(&mut |job, its_weight| {
            number += 1;
            weight += its_weight;
            batch.push((number, job));
            if weight > LITTLE && weight - handed >= BATCH {
                let crew = match &mut crew {
                    Some(crew) => crew,
                    none => none.insert(Crew::start(scope, work, tool)?),
                };
                crew.give(std::mem::take(&mut batch));
                handed = weight;
            }
            Ok(())
        })?;
        match crew {
            Some(crew) => {
                crew.give(batch);
                crew.finish()
            }
            None => all(work, tool, batch),
        }
    })?;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

type Numbered<T> = (usize, T);

fn all<W: Work>(
    work: &W,
    tool: &W::Tool,
    jobs: impl IntoIterator<Item = Numbered<W::Job>>,
) -> Result<Vec<Numbered<W::Done>>, W::Fault> {
    let mut all = Vec::new();
    for (number, job) in jobs {
        all.extend(work.one(tool, job)?.map(|done| (number, done)));
    }
    Ok(all)
}

type Outcome<W> = Result<Vec<Numbered<<W as Work>::Done>>, <W as Work>::Fault>;

/// The workers of one run.
struct Crew<'scope, W: Work> {
    queue: SyncSender<Vec<Numbered<W::Job>>>,
    threads: Vec<ScopedJoinHandle<'scope, Outcome<W>>>,
}

impl<'scope, W: Work> Crew<'scope, W> {
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        work: &'env W,
        tool: &W::Tool,
    ) -> Result<Self, W::Fault> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let (queue, jobs) = sync_channel(cores * WAITING);
        // The workers alone hold the end of the queue: when none is left, giving fails instead of waiting.
        let jobs = Arc::new(Mutex::new(jobs));
        let mut threads = Vec::new();
        for _ in 0..cores {
            let tool = work.another(tool)?;
            let jobs = Arc::clone(&jobs);
            threads.push(scope.spawn(move || all(work, &tool, std::iter::from_fn(|| next(&jobs)).flatten())));
        }
        Ok(Self { queue, threads })
    }

    /// Waits for room in the queue.
    fn give(&self, batch: Vec<Numbered<W::Job>>) {
        // Without workers there is a fault, which `finish` finds.
        let _ = self.queue.send(batch);
    }

    fn finish(self) -> Outcome<W> {
        drop(self.queue);
        let mut all = Vec::new();
        for thread in self.threads {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(done?);
        }
        Ok(all)
    }
}

fn next<T>(jobs: &Mutex<Receiver<T>>) -> Option<T> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles numbers up to a limit; nothing comes of 7, and 13 is a panic.
    struct Doubler(usize);

    impl Work for Doubler {
        type Tool = ();
        type Job = usize;
        type Done = usize;
        type Fault = String;

        fn another(&self, (): &()) -> Result<(), String> {
            Ok(())
        }

        fn one(&self, (): &(), job: usize) -> Result<Option<usize>, String> {
            assert!(job != 13, "unlucky");
            if job > self.0 { Err(format!("{job} is too much")) } else { Ok((job != 7).then_some(job * 2)) }
        }
    }

    fn run(limit: usize, jobs: std::ops::Range<usize>, weight: usize) -> Result<Vec<usize>, String> {
        spread(&Doubler(limit), &(), |give| jobs.into_iter().try_for_each(|job| give(job, weight)))
    }

    #[test]
    fn what_comes_out_is_in_the_order_of_the_list() {
        for weight in [0, 1] {
            let wanted: Vec<_> = (100..5000).map(|number| number * 2).collect();
            assert_eq!(run(5000, 100..5000, weight).unwrap(), wanted);
        }
        assert_eq!(run(10, 6..9, 1).unwrap(), [12, 16]);
    }

    #[test]
    fn a_fault_ends_it_whoever_has_it() {
        assert_eq!(run(200, 199..202, 1).unwrap_err(), "201 is too much");
        assert!(run(2000, 100..5000, 1).unwrap_err().ends_with("is too much"));
        let listing = spread(&Doubler(9000), &(), |give| {
            (20..5000).try_for_each(|job| give(job, 1))?;
            Err("the list broke off".to_owned())
        });
        assert_eq!(listing.unwrap_err(), "the list broke off");
    }

    #[test]
    fn a_panic_goes_on_in_the_caller_though_no_worker_is_left() {
        let panics = |weight| {
            std::panic::catch_unwind(|| {
                spread(&Doubler(99), &(), |give| (0..5000).try_for_each(|_| give(13, weight)))
            })
        };
        assert!(panics(0).is_err());
        assert!(panics(1).is_err());
    }
}

//! Fault injection. Untested recovery does not work, so tests and lessons inject into the real
//! engine what a disk, a cleaner of temporary files or a faulty closure may cause.
//!
//! A [`FaultPlan`] lists the faults; [`Faults`] is a plan in use. The engine calls the functions
//! here once for a task, a file or an append, and never for a row; without a plan each call is one
//! test of an `Option`. Disk faults are injected by `disk/faulty.rs`.
//!
//! Damage is injected after a successful write: a planned loss deletes, truncates or corrupts the
//! finished file, and drops output that is in memory. The reader detects it, as with a real disk.
//! `fail_task` lets the attempt finish its work first, because an attempt that has already stored
//! something is the harder case.

use crate::error::{Error, Result, TaskAttemptId};
use crate::ids::{RddId, ShuffleId, StageId};
use crate::sync::{Mutex, MutexGuard};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A list of faults to inject into a context, for tests and for teaching. A context without a plan
/// never injects faults.
///
/// Faults accumulate, and a kind may be added several times. The same plan, program and number of
/// threads inject the same faults; faults of tasks and outputs do not depend on the number of
/// threads.
///
/// Disk operations, created files and appends are counted from 0, over all files and threads of the
/// context: those of scratch files, outputs and checkpoints. Input text is not read through the
/// faulty disk. Stages, shuffles and RDDs are numbered from 0 in the order in which a context
/// creates them.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    pub(crate) faults: Vec<Fault>,
    pub(crate) under: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    FailTask { stage: StageId, partition: usize, attempt: usize },
    PanicInStage(StageId),
    DamageOutput { shuffle: ShuffleId, map_partition: usize, damage: Damage },
    FailReads { shuffle: ShuffleId, map_partition: usize },
    DamageBlock { rdd: RddId, partition: usize, damage: Damage },
    FailOperation(u64),
    FailFrom(u64),
    Stall(u64, Duration),
    FullAfter(u64),
    TruncateFile { create: u64, bytes: usize },
    FlipAppend(u64),
    Kill { point: FailPoint, visit: u64 },
    RefuseThreads { first: u64, count: u64 },
}

/// Damage to a file that is already written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file is deleted.
    Lost,
    /// The file loses the second half of its bytes.
    Truncated,
    /// One bit in the middle of the file is flipped.
    Corrupted,
}

/// A place in the engine at which a fault plan can end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailPoint {
    /// A scratch directory has been created and is not locked yet.
    ScratchDirCreated,
    /// A scratch directory is locked and has no file yet.
    ScratchDirLocked,
    /// The first frame of a scratch file is written, and more may follow.
    SpillHalfWritten,
    /// A map task has its output, which is not published to readers yet.
    BeforeMapOutput,
    /// A map output is published to readers, and the scheduler has not been notified.
    AfterMapOutput,
    /// The file of one partition of an output or a checkpoint is written and not renamed yet.
    BeforePartRename,
    /// All partitions of an output or a checkpoint are written, without `_SUCCESS` or manifest.
    BeforeSuccessFile,
    /// `_SUCCESS` or the manifest is written, and the directory is not renamed yet.
    BeforeOutputRename,
    /// The directory of an output or a checkpoint is renamed, and the action has not returned.
    AfterOutputRename,
}

impl FailPoint {
    /// All fail points, in the order in which a run may reach them.
    pub const ALL: [FailPoint; 9] = [
        FailPoint::ScratchDirCreated,
        FailPoint::ScratchDirLocked,
        FailPoint::SpillHalfWritten,
        FailPoint::BeforeMapOutput,
        FailPoint::AfterMapOutput,
        FailPoint::BeforePartRename,
        FailPoint::BeforeSuccessFile,
        FailPoint::BeforeOutputRename,
        FailPoint::AfterOutputRename,
    ];
}

impl FaultPlan {
    /// Returns a plan without faults.
    pub fn new() -> Self {
        FaultPlan::default()
    }

    /// Adds a fault.
    fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Fails one attempt (counted from 0) of a task after it has done its work, with a disk error,
    /// which is retried.
    pub fn fail_task(self, stage: StageId, partition: usize, attempt: usize) -> Self {
        self.and(Fault::FailTask { stage, partition, attempt })
    }

    /// Panics in the first attempt of every task of a stage, as a closure of the user may. It is
    /// retried if `max_attempts` allows it.
    pub fn panic_in_stage(self, stage: StageId) -> Self {
        self.and(Fault::PanicInStage(stage))
    }

    /// Damages the file of a map output after it is written. An output in memory has no bytes to
    /// damage and is lost. Each fault happens once: add it again to damage the recomputed output.
    pub fn damage_map_output(
        self,
        shuffle: ShuffleId,
        map_partition: usize,
        damage: Damage,
    ) -> Self {
        self.and(Fault::DamageOutput { shuffle, map_partition, damage })
    }

    /// Fails every read of the file of a map output, as a bad sector does. An output in memory is
    /// not affected. Each fault applies to one file: add it again for the recomputed output.
    pub fn fail_reads_of_map_output(self, shuffle: ShuffleId, map_partition: usize) -> Self {
        self.and(Fault::FailReads { shuffle, map_partition })
    }

    /// Damages a stored partition of a persisted RDD, as
    /// [`damage_map_output`](FaultPlan::damage_map_output) does.
    pub fn damage_block(self, rdd: RddId, partition: usize, damage: Damage) -> Self {
        self.and(Fault::DamageBlock { rdd, partition, damage })
    }

    /// Fails one disk operation; later operations succeed.
    pub fn fail_disk_operation(self, operation: u64) -> Self {
        self.and(Fault::FailOperation(operation))
    }

    /// Fails this disk operation and all later ones.
    pub fn fail_from(self, operation: u64) -> Self {
        self.and(Fault::FailFrom(operation))
    }

    /// Sleeps before one disk operation.
    pub fn stall_disk_operation(self, operation: u64, pause: Duration) -> Self {
        self.and(Fault::Stall(operation, pause))
    }

    /// Limits the disk to `bytes` appended bytes. Deleting a file frees nothing.
    pub fn full_after(self, bytes: u64) -> Self {
        self.and(Fault::FullAfter(bytes))
    }

    /// Drops, without an error, the last `bytes` bytes of the file that this create operation
    /// makes. A shorter file becomes empty.
    pub fn truncate_file(self, create: u64, bytes: usize) -> Self {
        self.and(Fault::TruncateFile { create, bytes })
    }

    /// Flips, without an error, one bit in the middle byte of one append.
    pub fn flip_append(self, append: u64) -> Self {
        self.and(Fault::FlipAppend(append))
    }

    /// Restricts disk faults to `folder`: operations elsewhere always succeed and are not counted.
    pub fn under(mut self, folder: impl Into<PathBuf>) -> Self {
        self.under = Some(folder.into());
        self
    }

    /// Kills the process, as `kill -9` does, when the run hits `point` for the given time (counted
    /// from 0).
    pub fn kill_at(self, point: FailPoint, visit: u64) -> Self {
        self.and(Fault::Kill { point, visit })
    }

    /// Refuses to start `count` threads of the context, from number `first` on, as a system does
    /// whose limit is reached. Attempts to start a thread are counted from 0: two for each thread
    /// that runs tasks (itself and its helper), one for the listeners, one for the scheduler, then
    /// those that replace threads of stuck tasks and those of spawned closures. The first refused
    /// thread of a pair ends the attempt to start the pair.
    pub fn refuse_threads(self, first: u64, count: u64) -> Self {
        self.and(Fault::RefuseThreads { first, count })
    }

    /// Returns the plan in use, which reports afterwards which faults happened.
    pub fn arm(self) -> Faults {
        let used = self.faults.iter().map(|_| AtomicBool::new(false)).collect();
        Faults(Arc::new(Armed {
            plan: self,
            used,
            disk: DiskCounts::default(),
            hits: Default::default(),
            fired: AtomicU64::new(0),
            unreadable: Mutex::default(),
            threads: AtomicU64::new(0),
        }))
    }
}

/// A plan in use. Clones are handles to the same plan.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Armed>);

#[derive(Debug)]
struct Armed {
    plan: FaultPlan,
    /// For each fault that happens once: true if it has happened.
    used: Vec<AtomicBool>,
    disk: DiskCounts,
    hits: [AtomicU64; FailPoint::ALL.len()],
    fired: AtomicU64,
    /// Files whose reads fail.
    unreadable: Mutex<HashSet<PathBuf>>,
    /// The attempts to start a thread.
    threads: AtomicU64,
}

/// The operations of the disk so far.
#[derive(Debug, Default)]
pub(crate) struct DiskCounts {
    pub operations: AtomicU64,
    pub creates: AtomicU64,
    pub appends: AtomicU64,
    pub bytes: AtomicU64,
}

impl From<FaultPlan> for Faults {
    fn from(plan: FaultPlan) -> Faults {
        plan.arm()
    }
}

impl From<&Faults> for Faults {
    fn from(faults: &Faults) -> Faults {
        faults.clone()
    }
}

impl Faults {
    /// Returns the number of faults that happened. A test in which none happened tests nothing.
    pub fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// Returns the number of disk operations so far. Run without faults first to learn how many
    /// operations can fail.
    pub fn disk_operations(&self) -> u64 {
        self.disk().operations.load(Ordering::SeqCst)
    }

    /// Returns how often the run has hit a fail point.
    pub fn hits(&self, point: FailPoint) -> u64 {
        self.0.hits[point as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn plan(&self) -> &FaultPlan {
        &self.0.plan
    }

    pub(crate) fn disk(&self) -> &DiskCounts {
        &self.0.disk
    }

    /// Returns true if reads of this file must fail.
    pub(crate) fn reads_fail(&self, file: &Path) -> bool {
        self.unreadable().contains(file)
    }

    fn unreadable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.unreadable.lock()
    }

    /// Counts a fault that happened.
    pub(crate) fn fire(&self) {
        self.0.fired.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes the first fault that `wanted` accepts and that has not happened, and marks it as
    /// happened.
    fn take<A>(&self, wanted: impl Fn(&Fault) -> Option<A>) -> Option<A> {
        let faults = self.0.plan.faults.iter().zip(&self.0.used);
        let mut matching = faults.filter_map(|(fault, used)| Some((wanted(fault)?, used)));
        let (found, _) = matching.find(|(_, used)| !used.swap(true, Ordering::SeqCst))?;
        self.fire();
        Some(found)
    }

    /// Returns true if any fault matches, and counts it.
    fn has(&self, wanted: impl Fn(&Fault) -> bool) -> bool {
        let found = self.0.plan.faults.iter().any(wanted);
        if found {
            self.fire();
        }
        found
    }

    /// Counts a visit of a fail point and kills the process if the plan contains that.
    fn hit(&self, point: FailPoint) {
        let visit = self.0.hits[point as usize].fetch_add(1, Ordering::SeqCst);
        let is_here = |fault: &Fault| match *fault {
            Fault::Kill { point: at, visit: nth } => at == point && nth == visit,
            _ => false,
        };
        if self.0.plan.faults.iter().any(is_here) {
            kill_process();
        }
    }
}

/// Kills the process as `kill -9` does.
fn kill_process() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

impl Damage {
    /// Damages a file.
    pub fn inflict(self, file: &Path) -> io::Result<()> {
        if self == Damage::Lost {
            return std::fs::remove_file(file);
        }
        let mut bytes = std::fs::read(file)?;
        let middle = bytes.len() / 2;
        match (self, bytes.get_mut(middle)) {
            (Damage::Corrupted, Some(byte)) => *byte ^= 1,
            _ => bytes.truncate(middle),
        }
        std::fs::write(file, bytes)
    }
}

/// Reports that the run has reached a fail point. The process may end here.
pub fn hit(faults: Option<&Faults>, point: FailPoint) {
    if let Some(faults) = faults {
        faults.hit(point);
    }
}

/// Reports that a thread is to be started. Returns the error of the system if the plan refuses it.
pub(crate) fn refuse_thread(faults: Option<&Faults>) -> io::Result<()> {
    let Some(faults) = faults else { return Ok(()) };
    let number = faults.0.threads.fetch_add(1, Ordering::SeqCst);
    let is_refused = |fault: &Fault| match *fault {
        Fault::RefuseThreads { first, count } => {
            (first..first.saturating_add(count)).contains(&number)
        }
        _ => false,
    };
    match faults.has(is_refused) {
        true => Err(io::Error::new(io::ErrorKind::WouldBlock, "injected fault: no more threads")),
        false => Ok(()),
    }
}

/// Reports the start of a task attempt, which may panic.
pub fn begin_task(faults: Option<&Faults>, task: &TaskAttemptId) {
    let panics =
        |fault: &Fault| matches!(fault, Fault::PanicInStage(stage) if *stage == task.stage);
    if let Some(faults) = faults
        && task.attempt == 0
        && faults.has(panics)
    {
        panic!("injected panic");
    }
}

/// Returns an injected error if an attempt that has done its work must fail.
pub fn end_task(faults: Option<&Faults>, task: &TaskAttemptId) -> Result<()> {
    let is_this_attempt = |fault: &Fault| {
        matches!(*fault, Fault::FailTask { stage, partition, attempt }
            if stage == task.stage && partition == task.partition && attempt == task.attempt)
    };
    match faults {
        Some(faults) if faults.has(is_this_attempt) => {
            Err(Error::io("injected task failure", io::Error::other("injected fault")))
        }
        _ => Ok(()),
    }
}

/// Returns the damage to inject into a map output that was just stored.
pub fn damage_to_output(
    faults: Option<&Faults>,
    of: ShuffleId,
    partition: usize,
) -> Option<Damage> {
    faults?.take(|fault| match *fault {
        Fault::DamageOutput { shuffle, map_partition, damage } => {
            ((shuffle, map_partition) == (of, partition)).then_some(damage)
        }
        _ => None,
    })
}

/// Marks the file of a map output as unreadable if the fault plan has a `FailReads` fault for the
/// output. Must be called before the output is published.
pub fn fail_reads(faults: Option<&Faults>, of: ShuffleId, partition: usize, file: Option<&Path>) {
    let (Some(faults), Some(file)) = (faults, file) else { return };
    let is_this_output = |fault: &Fault| match *fault {
        Fault::FailReads { shuffle, map_partition } => {
            ((shuffle, map_partition) == (of, partition)).then_some(())
        }
        _ => None,
    };
    if faults.take(is_this_output).is_some() {
        faults.unreadable().insert(file.to_path_buf());
    }
}

/// Applies the faults of a map output that is written, to `file` or to memory, but not published.
pub fn before_publish(
    faults: Option<&Faults>,
    shuffle: ShuffleId,
    partition: usize,
    file: Option<&Path>,
) {
    hit(faults, FailPoint::BeforeMapOutput);
    fail_reads(faults, shuffle, partition, file);
}

/// Applies the faults of a published map output. `inflict` applies the planned damage to it.
pub fn after_publish(
    faults: Option<&Faults>,
    shuffle: ShuffleId,
    partition: usize,
    inflict: impl FnOnce(Damage),
) {
    hit(faults, FailPoint::AfterMapOutput);
    if let Some(damage) = damage_to_output(faults, shuffle, partition) {
        inflict(damage);
    }
}

/// Returns the damage to inject into a block that was just stored.
pub fn damage_to_block(faults: Option<&Faults>, of: RddId, number: usize) -> Option<Damage> {
    faults?.take(|fault| match *fault {
        Fault::DamageBlock { rdd, partition, damage } => {
            ((rdd, partition) == (of, number)).then_some(damage)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;

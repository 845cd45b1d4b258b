//! What goes wrong on purpose. Recovery that was never needed does not work, so tests and lessons
//! inflict on the real thing what a disk, a cleaner of temporary files or a bad closure may do.
//!
//! A [`FaultPlan`] says what; [`Faults`] is a plan at work. The engine asks the functions here, once
//! for a task, a file or an append and never for a row, and without a plan it asks nothing. Faults of
//! the disk happen behind its one door, in `disk/faulty.rs`.

use crate::error::{Error, Result, TaskAttemptId};
use crate::ids::{RddId, ShuffleId, StageId};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong in a context, for tests and for teaching. A context without a plan never fails on
/// purpose.
///
/// Faults are added one after the other, also several of one kind. The same plan, program and number
/// of threads inflict the same faults; those of tasks and outputs do on any number of threads.
///
/// Disk operations, created files and appends are counted from 0, over all files and threads of the
/// context: those of scratch files, outputs and checkpoints. Input text is not read through the disk
/// that fails. Stages, shuffles and RDDs are numbered from 0 in the order in which a context makes
/// them.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    pub(crate) faults: Vec<Fault>,
    pub(crate) under: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    FailTask { stage: StageId, partition: usize, attempt: usize },
    PanicInStage(StageId),
    DamageOutput { shuffle: ShuffleId, map_partition: usize, harm: Damage },
    FailReads { shuffle: ShuffleId, map_partition: usize },
    DamageBlock { rdd: RddId, partition: usize, harm: Damage },
    FailOperation(u64),
    FailFrom(u64),
    Stall(u64, Duration),
    FullAfter(u64),
    TruncateFile { create: u64, bytes: usize },
    FlipAppend(u64),
    Kill { point: FailPoint, pass: u64 },
}

/// What happens to a file that is already written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is removed.
    Lost,
    /// It loses the second half of its bytes.
    Truncated,
    /// One bit in its middle changes.
    Flipped,
}

/// A place in the engine's work where a crash matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailPoint {
    /// A scratch folder is made, and has no lock yet.
    FolderMade,
    /// A scratch folder is locked, and has no file yet.
    FolderLocked,
    /// The first frame of a scratch file is written, and others may follow.
    SpillHalfWritten,
    /// A map task has its output, and readers do not know it yet.
    BeforeMapOutput,
    /// Readers may find a map output, and the scheduler does not know yet.
    AfterMapOutput,
    /// The file of one partition of an output or a checkpoint is written, and has not got its name.
    BeforePartRename,
    /// All partitions of an output or a checkpoint are there, without `_SUCCESS` or manifest.
    BeforeLastFile,
    /// `_SUCCESS` or the manifest is written, and the folder has not got its name.
    BeforeOutputRename,
    /// The folder of an output or a checkpoint has its name, and the action has not returned.
    AfterOutputRename,
}

impl FailPoint {
    /// All points, in the order in which a run may come to them.
    pub const ALL: [FailPoint; 9] = [
        FailPoint::FolderMade,
        FailPoint::FolderLocked,
        FailPoint::SpillHalfWritten,
        FailPoint::BeforeMapOutput,
        FailPoint::AfterMapOutput,
        FailPoint::BeforePartRename,
        FailPoint::BeforeLastFile,
        FailPoint::BeforeOutputRename,
        FailPoint::AfterOutputRename,
    ];
}

impl FaultPlan {
    /// A plan without a fault.
    pub fn new() -> Self {
        FaultPlan::default()
    }

    fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// This attempt (from 0 up) of a task does its work and then fails, as if the disk had failed it:
    /// such faults are tried again.
    pub fn fail_task(self, stage: StageId, partition: usize, attempt: usize) -> Self {
        self.and(Fault::FailTask { stage, partition, attempt })
    }

    /// The first attempt of every task of a stage panics, as a closure of the user may: it is tried
    /// again if `max_attempts` allows it.
    pub fn panic_in_stage(self, stage: StageId) -> Self {
        self.and(Fault::PanicInStage(stage))
    }

    /// Harms the file of a map output once it is written. One that lies in memory has no bytes to
    /// harm, and is lost. Each such fault happens once: add it again to harm what comes in its place.
    pub fn damage_map_output(self, shuffle: ShuffleId, map_partition: usize, harm: Damage) -> Self {
        self.and(Fault::DamageOutput { shuffle, map_partition, harm })
    }

    /// Every read of the file of a map output fails, as on a bad sector. One that lies in memory is
    /// not read from the disk, and stays as it is. Each such fault happens to one file: add it again
    /// for what comes in its place.
    pub fn fail_reads_of_map_output(self, shuffle: ShuffleId, map_partition: usize) -> Self {
        self.and(Fault::FailReads { shuffle, map_partition })
    }

    /// Harms a partition of a persisted RDD once it is stored, as
    /// [`damage_map_output`](FaultPlan::damage_map_output) does.
    pub fn damage_block(self, rdd: RddId, partition: usize, harm: Damage) -> Self {
        self.and(Fault::DamageBlock { rdd, partition, harm })
    }

    /// This operation of the disk fails; the next ones work again.
    pub fn fail_disk_operation(self, operation: u64) -> Self {
        self.and(Fault::FailOperation(operation))
    }

    /// This operation of the disk and all after it fail.
    pub fn fail_from(self, operation: u64) -> Self {
        self.and(Fault::FailFrom(operation))
    }

    /// This operation of the disk sleeps before it runs.
    pub fn stall_disk_operation(self, operation: u64, pause: Duration) -> Self {
        self.and(Fault::Stall(operation, pause))
    }

    /// The disk holds so many appended bytes and no more. Removing a file frees nothing.
    pub fn full_after(self, bytes: u64) -> Self {
        self.and(Fault::FullAfter(bytes))
    }

    /// The file that this create makes silently loses its last bytes; a shorter one is left empty.
    pub fn truncate_file(self, create: u64, bytes: usize) -> Self {
        self.and(Fault::TruncateFile { create, bytes })
    }

    /// This append silently writes one wrong bit, in its middle byte.
    pub fn flip_append(self, append: u64) -> Self {
        self.and(Fault::FlipAppend(append))
    }

    /// The disk that goes wrong is mounted here: what lies elsewhere always works and is not counted.
    pub fn under(mut self, folder: impl Into<PathBuf>) -> Self {
        self.under = Some(folder.into());
        self
    }

    /// The process dies when it comes to `point` for this time (from 0 up): nothing is cleaned up, as
    /// by `kill -9`.
    pub fn kill_at(self, point: FailPoint, pass: u64) -> Self {
        self.and(Fault::Kill { point, pass })
    }

    /// The plan at work, for who wants to ask it afterwards what happened.
    pub fn arm(self) -> Faults {
        let used = self.faults.iter().map(|_| AtomicBool::new(false)).collect();
        let (disk, passes, fired, spoilt) = Default::default();
        Faults(Arc::new(Armed { plan: self, used, disk, passes, fired, spoilt }))
    }
}

/// A plan at work. A clone is another handle to the same one.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Armed>);

#[derive(Debug)]
struct Armed {
    plan: FaultPlan,
    /// For each fault that happens once, whether it did.
    used: Vec<AtomicBool>,
    disk: DiskCounts,
    passes: [AtomicU64; FailPoint::ALL.len()],
    fired: AtomicU64,
    /// Files that cannot be read.
    spoilt: Mutex<HashSet<PathBuf>>,
}

/// What the disk has done so far.
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
    /// The faults that happened so far: a test that saw none has tested nothing.
    pub fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// The operations of the disk so far. A run without faults tells how many places there are to
    /// fail at.
    pub fn disk_operations(&self) -> u64 {
        self.disk().operations.load(Ordering::SeqCst)
    }

    /// How often the run came to a point.
    pub fn passes(&self, point: FailPoint) -> u64 {
        self.0.passes[point as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn plan(&self) -> &FaultPlan {
        &self.0.plan
    }

    pub(crate) fn disk(&self) -> &DiskCounts {
        &self.0.disk
    }

    /// Whether reads of this file are to fail.
    pub(crate) fn reads_fail(&self, file: &Path) -> bool {
        self.spoilt().contains(file)
    }

    fn spoilt(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.spoilt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fire(&self) {
        self.0.fired.fetch_add(1, Ordering::SeqCst);
    }

    /// The first fault that `wanted` accepts and that has not happened; from now on it has.
    fn take<A>(&self, wanted: impl Fn(&Fault) -> Option<A>) -> Option<A> {
        let faults = self.0.plan.faults.iter().zip(&self.0.used);
        let mut matching = faults.filter_map(|(fault, used)| Some((wanted(fault)?, used)));
        let (found, _) = matching.find(|(_, used)| !used.swap(true, Ordering::SeqCst))?;
        self.fire();
        Some(found)
    }

    fn has(&self, wanted: impl Fn(&Fault) -> bool) -> bool {
        let found = self.0.plan.faults.iter().any(wanted);
        if found {
            self.fire();
        }
        found
    }

    fn hit(&self, point: FailPoint) {
        let pass = self.0.passes[point as usize].fetch_add(1, Ordering::SeqCst);
        let here = |fault: &Fault| matches!(fault, Fault::Kill { point: at, pass: nth } if *at == point && *nth == pass);
        if self.0.plan.faults.iter().any(here) {
            kill_process();
        }
    }
}

/// Ends the process as `kill -9` does.
fn kill_process() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

impl Damage {
    /// Does it to a file.
    pub fn inflict(self, file: &Path) -> io::Result<()> {
        if self == Damage::Lost {
            return std::fs::remove_file(file);
        }
        let mut bytes = std::fs::read(file)?;
        let middle = bytes.len() / 2;
        match (self, bytes.get_mut(middle)) {
            (Damage::Flipped, Some(byte)) => *byte ^= 1,
            _ => bytes.truncate(middle),
        }
        std::fs::write(file, bytes)
    }
}

/// The run has come to a point; it may end here.
pub fn hit(faults: Option<&Faults>, point: FailPoint) {
    if let Some(faults) = faults {
        faults.hit(point);
    }
}

/// An attempt of a task begins; it may panic.
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

/// An attempt of a task has done its work; it may fail all the same.
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

/// What is to happen to a map output that was just put.
pub fn damage_to_output(
    faults: Option<&Faults>,
    of: ShuffleId,
    partition: usize,
) -> Option<Damage> {
    faults?.take(|fault| match *fault {
        Fault::DamageOutput { shuffle, map_partition, harm } => {
            ((shuffle, map_partition) == (of, partition)).then_some(harm)
        }
        _ => None,
    })
}

/// A map output was written to `file`, and no reader knows of it yet: from now on nobody may be able
/// to read it.
pub fn fail_reads(faults: Option<&Faults>, of: ShuffleId, partition: usize, file: Option<&Path>) {
    let (Some(faults), Some(file)) = (faults, file) else { return };
    let here = |fault: &Fault| match *fault {
        Fault::FailReads { shuffle, map_partition } => {
            ((shuffle, map_partition) == (of, partition)).then_some(())
        }
        _ => None,
    };
    if faults.take(here).is_some() {
        faults.spoilt().insert(file.to_path_buf());
    }
}

/// What is to happen to a block that was just stored.
pub fn damage_to_block(faults: Option<&Faults>, of: RddId, number: usize) -> Option<Damage> {
    faults?.take(|fault| match *fault {
        Fault::DamageBlock { rdd, partition, harm } => {
            ((rdd, partition) == (of, number)).then_some(harm)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;

//! A process is killed at each fail point and at arbitrary times: outputs are complete or missing, the next
//! start deletes exactly the orphans, and the next run succeeds.

use super::{lines_of, names_in, on_disk, whole_answer, whole_job};
use crate::support::noise;
use emberline::fault::{FailPoint, FaultPlan};
use emberline::prelude::*;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{DEADLINE, within};

/// The variable with the folder of the child. Without it, the test of the child does nothing.
const CHILD_FOLDER: &str = "EMBERLINE_TEST_CRASH_FOLDER";
/// The variable with the fail point at which the child dies and the pass of it, such as `3:1`.
const CHILD_DEATH: &str = "EMBERLINE_TEST_CRASH_AT";
/// The exit code with which a closure of the child ends the process.
const CHILD_EXIT: &str = "EMBERLINE_TEST_CRASH_EXIT";
const CHILD_READY: &str = "the child begins";

// The other tests run this in a child process: rounds in sequence, until it dies.
#[test]
#[ignore = "the other tests here start it"]
fn child_process_of_the_crash_tests() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let dirs = Dirs::at(folder.into());
    let mut plan = FaultPlan::new();
    if let Ok(code) = std::env::var(CHILD_EXIT) {
        let code = code.parse().unwrap();
        let ctx = on_disk(&dirs.scratch).build().unwrap();
        let rows = ctx.range_with(2, 0..90_u64).map(|n| (n, n)).repartition(2);
        println!("{CHILD_READY}");
        rows.for_each(move |(n, _)| {
            if n == 7 {
                std::process::exit(code)
            }
        })
        .unwrap();
    }
    if let Ok(death) = std::env::var(CHILD_DEATH) {
        let (point, pass) = death.split_once(':').unwrap();
        plan = plan.kill_at(FailPoint::ALL[point.parse::<usize>().unwrap()], pass.parse().unwrap());
    }
    println!("{CHILD_READY}");
    within(DEADLINE, move || {
        for round in 0..10_000 {
            let ctx = on_disk(&dirs.scratch).faults(plan.clone()).build().unwrap();
            dirs.run(&ctx, round).unwrap();
        }
    });
}

/// A folder for scratch files and a folder for outputs.
struct Dirs {
    scratch: PathBuf,
    outputs: PathBuf,
}

impl Dirs {
    fn at(folder: PathBuf) -> Dirs {
        let dirs = Dirs { scratch: folder.join("scratch"), outputs: folder.join("outputs") };
        let _ = fs::create_dir(&dirs.scratch);
        let _ = fs::create_dir(&dirs.outputs);
        dirs
    }

    /// Runs one round: the job with its output, and a checkpoint.
    fn run(&self, ctx: &Context, round: usize) -> Result<()> {
        self.save(ctx, round)?;
        self.checkpoint(ctx, round)
    }

    fn save(&self, ctx: &Context, round: usize) -> Result<()> {
        let counted = whole_job(ctx, &self.outputs.join(format!("out-{round}")))?;
        assert_eq!(counted, whole_answer().0, "round {round}");
        Ok(())
    }

    fn checkpoint(&self, ctx: &Context, round: usize) -> Result<()> {
        let saved = self.outputs.join(format!("saved-{round}"));
        ctx.range_with(2, 0..50_u64).checkpoint(saved).map(drop)
    }

    /// Runs an interrupted round again, at the same paths: an existing output is refused and stays, and a
    /// missing one is written.
    fn run_again(&self, ctx: &Context, round: usize) {
        let there = |name: &str| self.outputs.join(format!("{name}-{round}")).exists();
        for (was_there, ran) in
            [(there("out"), self.save(ctx, round)), (there("saved"), self.checkpoint(ctx, round))]
        {
            match ran {
                Ok(()) => assert!(!was_there, "round {round} was written twice"),
                Err(error) => {
                    let refused = matches!(error.kind(), ErrorKind::OutputExists { .. });
                    assert!(was_there && refused, "round {round}: {error}");
                }
            }
        }
        assert!(there("out") && there("saved"));
    }

    /// Checks that each output is complete, and returns the counts of complete and of unnamed ones.
    fn check_outputs(&self) -> (usize, usize) {
        let ctx = Context::builder().threads(1).build().unwrap();
        let mut whole = 0;
        let mut unnamed = 0;
        for name in names_in(&self.outputs) {
            let path = self.outputs.join(&name);
            match name.split('-').next().unwrap() {
                "out" => assert!(lines_of(&path) == whole_answer().1, "{name}"),
                "saved" => {
                    let rows = ctx.read_checkpoint::<u64>(&path).collect().unwrap();
                    assert!(rows.into_iter().eq(0..50), "{name}");
                }
                hidden => assert!(hidden.starts_with('.') && name.contains("-writing-"), "{name}"),
            }
            whole += usize::from(!name.starts_with('.'));
            unnamed += usize::from(name.starts_with('.'));
        }
        (whole, unnamed)
    }

    /// Checks that the next start deletes exactly the files of the dead process, and that the next
    /// run at the same paths succeeds and deletes unnamed outputs.
    fn check_next_start(&self, bystanders: &[String]) {
        let ctx = on_disk(&self.scratch).build().unwrap();
        let mut left = names_in(&self.scratch);
        left.retain(|name| !bystanders.contains(name));
        assert_eq!(left, [""; 0], "not removed");
        // The last round that has its checkpoint, which may have been killed just then, and the next.
        let whole = names_in(&self.outputs).iter().filter(|it| it.starts_with("saved-")).count();
        (whole.saturating_sub(1)..=whole).for_each(|round| self.run_again(&ctx, round));
        drop(ctx);
        self.check_outputs();
        let mut hidden = names_in(&self.outputs);
        hidden.retain(|name| name.starts_with('.'));
        assert_eq!(hidden, [""; 0], "not removed");
        let now = names_in(&self.scratch);
        assert!(bystanders.iter().all(|name| now.contains(name)), "removed: {now:?}");
    }
}

/// The other process; it dies with this.
struct Dying(Child);

impl Dying {
    fn start(folder: &Path, how: Option<(&str, String)>) -> Dying {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "fault_injection::crash::child_process_of_the_crash_tests",
            "--exact",
            "--ignored",
            "--nocapture",
        ]);
        command.env(CHILD_FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
        command.envs(how);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(CHILD_READY)), "the child did not begin");
        Dying(child)
    }

    fn dies(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes files that look like scratch directories but must stay, and a live context.
fn bystanders(dirs: &Dirs) -> (Vec<String>, Context) {
    fs::create_dir(dirs.scratch.join("emberline-notes")).unwrap();
    fs::write(dirs.scratch.join("emberline-notes").join("a"), "mine").unwrap();
    fs::write(dirs.scratch.join("emberline-file"), "mine").unwrap();
    let living = on_disk(&dirs.scratch).build().unwrap();
    let persisted = living.range_with(2, 0..90_u64).persist(emberline::StorageLevel::Disk);
    assert_eq!(persisted.count().unwrap(), 90);
    std::mem::forget(persisted); // its blocks, and so its folder, stay until this process ends
    (names_in(&dirs.scratch), living)
}

fn killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    #[cfg(not(unix))]
    !status.success()
}

/// Counts how often one round reaches each fail point.
fn passes() -> Vec<(usize, FailPoint, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let dirs = Dirs::at(folder.path().to_path_buf());
    let faults = FaultPlan::new().arm();
    dirs.run(&on_disk(&dirs.scratch).faults(&faults).build().unwrap(), 0).unwrap();
    let points = FailPoint::ALL.into_iter().enumerate();
    points.map(|(number, point)| (number, point, faults.hits(point))).collect()
}

#[test]
fn a_process_killed_at_any_fail_point_leaves_only_complete_outputs_and_orphans() {
    within(DEADLINE, || {
        for (number, point, passes) in passes() {
            assert!(passes > 0, "the job never comes to {point:?}");
            let mut chosen = vec![0, passes / 2, passes - 1];
            chosen.dedup();
            for pass in chosen {
                let folder = tempfile::tempdir().unwrap();
                let dirs = Dirs::at(folder.path().to_path_buf());
                let (bystanders, _living) = bystanders(&dirs);
                let status =
                    Dying::start(folder.path(), Some((CHILD_DEATH, format!("{number}:{pass}"))))
                        .dies();
                assert!(killed(status), "{point:?} {pass}: {status}");
                let (_, unnamed) = dirs.check_outputs();
                let in_output = number >= FailPoint::BeforePartRename as usize;
                assert_eq!(unnamed, usize::from(in_output), "{point:?} {pass}");
                dirs.check_next_start(&bystanders);
            }
        }
    });
}

/// The number of kills at random moments, unless [`KILLS`] sets another.
const RANDOM_KILLS: u32 = 20;
/// The environment variable with the number of kills at random moments (`.ci/nightly` sets it).
const KILLS: &str = "EMBERLINE_TEST_KILLS";

/// Returns the number of kills that the environment sets, else [`RANDOM_KILLS`].
fn random_kills() -> u32 {
    let asked = std::env::var(KILLS).ok();
    asked.map_or(RANDOM_KILLS, |kills| kills.parse().expect("EMBERLINE_TEST_KILLS is a number"))
}

#[test]
fn a_process_killed_at_any_time_leaves_only_complete_outputs_and_orphans() {
    let kills = random_kills();
    within(DEADLINE * kills.div_ceil(RANDOM_KILLS), move || {
        let folder: TempDir = tempfile::tempdir().unwrap();
        let dirs = Dirs::at(folder.path().to_path_buf());
        let (bystanders, _living) = bystanders(&dirs);
        let mut whole = 0;
        let mut kill = 0;
        // On a busy machine, more kills are needed until one child has completed an output.
        while kill < u64::from(kills) || whole == 0 {
            let child = Dying::start(folder.path(), None);
            std::thread::sleep(Duration::from_micros(
                noise(kill) % (80_000 << (kill / u64::from(kills))),
            ));
            kill += 1;
            drop(child);
            whole += dirs.check_outputs().0;
            dirs.check_next_start(&bystanders);
            fs::remove_dir_all(&dirs.outputs).unwrap();
            fs::create_dir(&dirs.outputs).unwrap();
        }
    });
}

// Case F006 of tests/PROMISES.md.
#[test]
fn orphans_of_a_closure_that_exits_the_process_are_deleted_by_the_next_start() {
    within(DEADLINE, || {
        for code in [0, 42] {
            let folder = tempfile::tempdir().unwrap();
            let dirs = Dirs::at(folder.path().to_path_buf());
            let how = (CHILD_EXIT, code.to_string());
            assert_eq!(Dying::start(folder.path(), Some(how)).dies().code(), Some(code));
            assert_eq!(names_in(&dirs.scratch).len(), 1, "it had files");
            dirs.check_next_start(&[]);
        }
    });
}

// Runs the child process with a limit of open files.
#[cfg(target_os = "linux")]
#[test]
fn few_open_files_suffice_and_too_few_are_a_clear_error() {
    const FOLDER: &str = "EMBERLINE_TEST_FEW_FILES";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let dirs = Dirs::at(folder.into());
        let ran = on_disk(&dirs.scratch).build().and_then(|ctx| dirs.run(&ctx, 0));
        println!("ran: {}", ran.map_or_else(|error| error.to_string(), |()| "well".into()));
        return;
    }
    within(DEADLINE, || {
        let run = |files: usize| {
            let folder = tempfile::tempdir().unwrap();
            let name =
                "fault_injection::crash::few_open_files_suffice_and_too_few_are_a_clear_error";
            let limited = format!("ulimit -n {files}; exec \"$0\" {name} --exact --nocapture");
            let mut shell = Command::new("sh");
            shell.args(["-c", &limited]).arg(std::env::current_exe().unwrap());
            let output = shell.env(FOLDER, folder.path()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let ran: Vec<String> = (4..16).map(run).collect();
        let enough = |text: &&String| text.contains("ran: well");
        assert!(ran.last().iter().all(enough), "{ran:?}");
        let (_, too_few): (Vec<_>, Vec<_>) = ran.iter().partition(enough);
        assert!(!too_few.is_empty(), "four files were enough");
        for text in too_few {
            assert!(text.contains("Too many open files"), "{text}");
        }
    });
}

//! The answers of the examples on their own data, against plain Rust that shares no code with
//! them, on one and on several threads, with the shuffle in memory and through files.

#![allow(dead_code, reason = "the examples' main functions are not called here")]

mod last_lines;

#[path = "../../examples/flights.rs"]
mod flights;
#[path = "../../examples/inverted_index.rs"]
mod inverted_index;
#[path = "../../examples/k_means.rs"]
mod k_means;
#[path = "../../examples/log_mining.rs"]
mod log_mining;
#[path = "../../examples/logistic_regression.rs"]
mod logistic_regression;
#[path = "../../examples/lost_partition.rs"]
mod lost_partition;
#[path = "../../examples/monte_carlo_pi.rs"]
mod monte_carlo_pi;
#[path = "../../examples/page_rank.rs"]
mod page_rank;
#[path = "../../examples/secondary_sort.rs"]
mod secondary_sort;
#[path = "../../examples/transitive_closure.rs"]
mod transitive_closure;
#[path = "../../examples/word_count.rs"]
mod word_count;

use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{
    event::{Event, EventRecord},
    id::ShuffleId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::deadline;

/// The time limit of one test, in which the examples may have to be built.
const LIMIT: Duration = Duration::from_mins(20);

/// Runs `check` on every context of the grid; the message of a failure names the context.
fn everywhere(check: impl Fn(&Context, &str) -> Result<(), BoxError>) -> Result<(), BoxError> {
    let _deadline = deadline(LIMIT);
    for threads in [1, 2, 8] {
        for files in [false, true] {
            let ctx = Context::builder().threads(threads).force_spill(files).build()?;
            check(&ctx, &format!("on {threads} threads, shuffle through files: {files}"))?;
        }
    }
    Ok(())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn word_count_equals_a_loop_over_the_bytes() -> Result<(), BoxError> {
    let expected = plain_word_count(&std::fs::read(word_count::BOOK)?);
    everywhere(|ctx, setup| {
        let counts = word_count::word_count(ctx, vec![word_count::BOOK.to_string()]);
        assert_eq!(counts.count()?, expected.len() as u64, "{setup}");
        assert_eq!(counts.collect_as_map()?, expected, "{setup}");
        Ok(())
    })
}

fn plain_word_count(text: &[u8]) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    let mut word = String::new();
    for &byte in text.iter().chain(b" ") {
        if byte.is_ascii_alphanumeric() {
            word.push(byte.to_ascii_lowercase().into());
        } else if !word.is_empty() {
            *counts.entry(std::mem::take(&mut word)).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn page_rank_equals_a_loop_over_the_edges() -> Result<(), BoxError> {
    let edges = std::fs::read_to_string(page_rank::GRAPH)?;
    let expected = plain_page_rank(&edges);
    everywhere(|ctx, setup| {
        let ranks = page_rank::page_rank(ctx, page_rank::GRAPH, page_rank::ROUNDS).collect()?;
        assert_eq!(ranks.len(), expected.len(), "{setup}");
        for (page, rank) in ranks {
            let plain = expected[page.as_str()];
            assert!(close(rank, plain), "{page}: {rank}, in plain Rust {plain}, {setup}");
        }
        Ok(())
    })
}

#[test]
fn page_rank_shuffles_the_links_once_and_the_contributions_once_a_round() -> Result<(), BoxError> {
    let _deadline = deadline(LIMIT);
    let ranks = page_rank::page_rank(&Context::local()?, page_rank::GRAPH, page_rank::ROUNDS);
    let plan = ranks.explain().to_string();
    assert_eq!(plan.matches("writes a shuffle").count(), 1 + page_rank::ROUNDS, "{plan}");
    Ok(())
}

fn plain_page_rank(edges: &str) -> BTreeMap<&str, f64> {
    let edges: Vec<(&str, &str)> = edges.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut out_degree: BTreeMap<&str, f64> = BTreeMap::new();
    for (from, to) in &edges {
        *out_degree.entry(from).or_default() += 1.0;
        out_degree.entry(to).or_default();
    }
    let mut ranks: BTreeMap<&str, f64> = out_degree.keys().map(|page| (*page, 1.0)).collect();
    for _ in 0..page_rank::ROUNDS {
        let mut given: BTreeMap<&str, f64> = ranks.keys().map(|page| (*page, 0.0)).collect();
        for (from, to) in &edges {
            *given.entry(to).or_default() += ranks[from] / out_degree[from];
        }
        ranks = given.into_iter().map(|(page, sum)| (page, 0.15 + 0.85 * sum)).collect();
    }
    ranks
}

#[test]
fn k_means_equals_a_loop_over_the_points() -> Result<(), BoxError> {
    let expected = plain_k_means(&std::fs::read_to_string(k_means::AIRPORTS)?)?;
    everywhere(|ctx, setup| {
        let found = k_means::k_means(ctx, k_means::AIRPORTS, k_means::GROUPS)?;
        assert_eq!(found.sizes, expected.sizes, "{setup}");
        assert!(close(found.cost, expected.cost), "{} {} {setup}", found.cost, expected.cost);
        let ours = found.centers.iter().flatten();
        let plain = expected.centers.iter().flatten();
        assert!(ours.zip(plain).all(|(a, b)| (a - b).abs() < 1e-9), "{setup}");
        Ok(())
    })
}

/// Computes k-means, and stops when no point changes its group. The example stops when no center moves,
/// which is the same round.
fn plain_k_means(csv: &str) -> Result<k_means::Groups, BoxError> {
    let points: Vec<[f64; 3]> = csv.lines().skip(1).map(plain_point).collect::<Result<_, _>>()?;
    let mut centers = points[..k_means::GROUPS].to_vec();
    let mut groups = vec![usize::MAX; points.len()];
    let mut rounds = 0;
    loop {
        let now: Vec<usize> = points.iter().map(|point| plain_nearest(&centers, point)).collect();
        let still = now == groups;
        (groups, rounds) = (now, rounds + 1);
        if still {
            break;
        }
        for (group, center) in centers.iter_mut().enumerate() {
            let own = || points.iter().zip(&groups).filter(|(_, g)| **g == group).map(|(p, _)| p);
            for (axis, x) in center.iter_mut().enumerate() {
                *x = own().map(|point| point[axis]).sum::<f64>() / own().count() as f64;
            }
        }
    }
    let sizes = (0..k_means::GROUPS).map(|group| groups.iter().filter(|g| **g == group).count());
    let sizes = sizes.map(|size| size as u64).collect();
    let cost = points.iter().zip(&groups).map(|(p, g)| squared(p, &centers[*g])).sum();
    Ok(k_means::Groups { centers, sizes, rounds, cost })
}

fn plain_point(line: &str) -> Result<[f64; 3], BoxError> {
    let fields: Vec<&str> = line.split(',').collect();
    let phi = fields[2].parse::<f64>()?;
    let lambda = fields[3].parse::<f64>()?;
    let phi = phi.to_radians();
    let lambda = lambda.to_radians();
    Ok([phi.cos() * lambda.cos(), phi.cos() * lambda.sin(), phi.sin()])
}

fn plain_nearest(centers: &[[f64; 3]], point: &[f64; 3]) -> usize {
    let mut best = 0;
    for group in 1..centers.len() {
        if squared(point, &centers[group]) < squared(point, &centers[best]) {
            best = group;
        }
    }
    best
}

fn squared(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum()
}

#[test]
fn inverted_index_equals_a_loop_over_the_lines() -> Result<(), BoxError> {
    let book = std::fs::read_to_string(inverted_index::BOOK)?;
    let mut expected: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (number, line) in (1..).zip(book.lines()) {
        let lower = line.to_ascii_lowercase();
        let mut words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        words.sort_unstable();
        words.dedup();
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            expected.entry(word.to_string()).or_default().push(number);
        }
    }
    everywhere(|ctx, setup| {
        let lines = book.lines().map(String::from).collect();
        let found = inverted_index::inverted_index(ctx, lines).collect()?;
        assert_eq!(found.len(), expected.len(), "{setup}");
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected, "{setup}");
        Ok(())
    })
}

#[test]
fn monte_carlo_pi_equals_a_loop_over_one_generator() -> Result<(), BoxError> {
    let darts = 200_000;
    let expected = plain_inside(darts);
    let pi = 4.0 * expected as f64 / darts as f64;
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi}");
    everywhere(|ctx, setup| {
        assert_eq!(monte_carlo_pi::inside(ctx, darts)?, expected, "{setup}");
        Ok(())
    })
}

/// Throws the darts in sequence: splitmix64 with its state, and integer coordinates with a radius of 2^53.
fn plain_inside(darts: u64) -> u64 {
    let mut state = 0_u64;
    let mut coordinate = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let rounds = [(30, 0xBF58_476D_1CE4_E5B9_u64), (27, 0x94D0_49BB_1331_11EB)];
        let mixed =
            rounds.iter().fold(state, |z, (by, factor)| (z ^ (z >> by)).wrapping_mul(*factor));
        u128::from((mixed ^ (mixed >> 31)) >> 11)
    };
    let mut inside = 0;
    for _ in 0..darts {
        let x = coordinate();
        let y = coordinate();
        inside += u64::from(x * x + y * y < 1 << 106);
    }
    inside
}

#[test]
fn transitive_closure_equals_a_search_from_every_package() -> Result<(), BoxError> {
    let graph = std::fs::read_to_string(transitive_closure::GRAPH)?;
    let mut needed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (package, other) in graph.lines().filter_map(|line| line.split_once('\t')) {
        needed.entry(package).or_default().push(other);
    }
    let mut expected = BTreeSet::new();
    for start in needed.keys() {
        let mut stack = needed[start].clone();
        while let Some(reached) = stack.pop() {
            if expected.insert((start.to_string(), reached.to_string())) {
                stack.extend(needed.get(reached).into_iter().flatten());
            }
        }
    }
    everywhere(|ctx, setup| {
        let edges = transitive_closure::edges(ctx, transitive_closure::GRAPH);
        let paths = transitive_closure::closure(&edges)?.collect()?;
        assert_eq!(paths.len(), expected.len(), "{setup}");
        assert_eq!(paths.into_iter().collect::<BTreeSet<_>>(), expected, "{setup}");
        Ok(())
    })
}

#[test]
fn flights_equal_a_loop_over_the_tables() -> Result<(), BoxError> {
    let table = |file| std::fs::read_to_string(format!("{}/{file}", flights::FOLDER));
    let (all, planes, weather) =
        (table("flights.csv")?, table("planes.csv")?, table("weather.csv")?);
    let fields = |line: &'static str| line.split(',').collect::<Vec<&str>>();
    let lines = |text: String| Box::leak(text.into_boxed_str()).lines().skip(1).map(fields);
    let makers: HashMap<&str, &str> = lines(planes).map(|row| (row[0], row[3])).collect();
    let winds: HashMap<_, f64> =
        lines(weather).filter_map(|row| Some((row[..5].to_vec(), row[9].parse().ok()?))).collect();
    let mut expected: BTreeMap<String, (u64, i64, u64)> = BTreeMap::new();
    for row in lines(all) {
        let hour = vec![row[12], row[0], row[1], row[2], row[16]];
        let known = (row[8].parse::<i64>(), makers.get(row[11]), winds.get(&hour));
        if let (Ok(late), Some(maker), Some(wind)) = known {
            let sums = expected.entry(maker.to_string()).or_default();
            *sums = (sums.0 + 1, sums.1 + late, sums.2 + u64::from(*wind >= 15.0));
        }
    }
    assert!(expected.len() > 5);
    everywhere(|ctx, setup| {
        let found = flights::makers(ctx, flights::FOLDER).collect()?;
        let sums = |sums: flights::Sums| (sums.flights, sums.delay, sums.windy);
        let found = found.into_iter().map(|(maker, all)| (maker, sums(all)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{setup}");
        Ok(())
    })
}

#[test]
fn secondary_sort_equals_a_sorted_list_for_each_plane() -> Result<(), BoxError> {
    let flights = std::fs::read_to_string(secondary_sort::FLIGHTS)?;
    let mut expected: BTreeMap<String, Vec<secondary_sort::Leg>> = BTreeMap::new();
    for row in flights.lines().skip(1).map(|line| line.split(',').collect::<Vec<&str>>()) {
        if let (Ok(day), Ok(left)) = (row[2].parse::<u32>(), row[3].parse::<u32>()) {
            let leg = (day * 10_000 + left, row[13].to_string());
            expected.entry(row[11].to_string()).or_default().push(leg);
        }
    }
    expected.values_mut().for_each(|route| route.sort_by_key(|leg| leg.0));
    assert!(expected.len() > 1_000);
    everywhere(|ctx, setup| {
        let found = secondary_sort::routes(ctx, secondary_sort::FLIGHTS).collect()?;
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected, "{setup}");
        Ok(())
    })
}

#[test]
fn log_mining_equals_a_loop_over_the_lines() -> Result<(), BoxError> {
    let log = std::fs::read_to_string(log_mining::LOG)?;
    let mut errors = 0;
    let mut mysql = 0;
    let mut times = Vec::new();
    let mut broken = 0;
    for line in log.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        if columns[0] == "ERROR" {
            errors += 1;
            mysql += u64::from(columns.iter().any(|column| column.contains("MySQL")));
            match (line.find("HDFS"), columns.get(3)) {
                (Some(_), Some(time)) => times.push(time.to_string()),
                (Some(_), None) => broken += 1,
                (None, _) => {}
            }
        }
    }
    assert!(errors > mysql && mysql > 50 && times.len() > 50 && broken > 5);
    everywhere(|ctx, setup| {
        let found = log_mining::log_mining(ctx, log_mining::LOG)?;
        assert_eq!(found, (errors, mysql, times.clone()), "{setup}");
        Ok(())
    })
}

#[test]
fn log_mining_reads_the_log_only_for_its_first_answer() -> Result<(), BoxError> {
    let _deadline = deadline(LIMIT);
    let rows_read = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&rows_read);
    let listener = move |record: &EventRecord| {
        let mut jobs = heard.lock().unwrap();
        match &record.event {
            Event::JobStarted { .. } => jobs.push(0),
            Event::TaskFinished { metrics, .. } => *jobs.last_mut().unwrap() += metrics.rows_read,
            _ => {}
        }
    };
    let ctx = Context::builder().listener(listener).build()?;
    let (errors, ..) = log_mining::log_mining(&ctx, log_mining::LOG)?;
    ctx.flush_listeners();
    let rows_read = rows_read.lock().unwrap().clone();
    let lines = std::fs::read_to_string(log_mining::LOG)?.lines().count() as u64;
    assert_eq!(rows_read, [lines, errors, errors], "the cached errors are all that is read later");
    Ok(())
}

#[test]
fn logistic_regression_equals_a_loop_over_the_points() -> Result<(), BoxError> {
    let flights = std::fs::read_to_string(logistic_regression::FLIGHTS)?;
    let mut points = Vec::new();
    let mut weights = [0.0; 3];
    for row in flights.lines().skip(1).map(|line| line.split(',').collect::<Vec<&str>>()) {
        if let (Ok(left), Ok(arrived)) = (row[5].parse::<f64>(), row[8].parse::<i32>()) {
            points.push((left / 60.0, row[15].parse::<f64>()? / 1000.0, arrived > 0));
        }
    }
    let judge = |w: [f64; 3], hours: f64, miles: f64| w[0] + w[1] * hours + w[2] * miles;
    for _ in 0..logistic_regression::ROUNDS {
        let mut slope = [0.0; 3];
        for (hours, miles, late) in &points {
            // The textbook's other form: the model's probability of "late", compared with one or zero.
            let chance = 1.0 / (1.0 + (-judge(weights, *hours, *miles)).exp());
            let miss = f64::from(*late) - chance;
            slope = [slope[0] + miss, slope[1] + miss * hours, slope[2] + miss * miles];
        }
        weights = [0, 1, 2].map(|i| weights[i] + logistic_regression::RATE * slope[i]);
    }
    let right = points.iter().filter(|(h, m, late)| (judge(weights, *h, *m) > 0.0) == *late);
    let right = right.count() as u64;
    assert!(right as usize > points.len() * 2 / 3, "{right} of {}", points.len());
    everywhere(|ctx, setup| {
        let (found, found_right, all) =
            logistic_regression::logistic_regression(ctx, logistic_regression::FLIGHTS)?;
        assert!(found.iter().zip(weights).all(|(a, b)| close(*a, b)), "{found:?} {setup}");
        assert_eq!((found_right, all), (right, points.len() as u64), "{setup}");
        Ok(())
    })
}

#[test]
fn lost_partition_recomputes_only_the_lost_partition() -> Result<(), BoxError> {
    let _deadline = deadline(LIMIT);
    let lose = FaultPlan::new().damage_map_output(ShuffleId(0), 2, Damage::Lost);
    for (plan, rerun) in [(FaultPlan::new(), 0), (lose, 1)] {
        for threads in [1, 2, 8] {
            let calls = Arc::new(AtomicUsize::new(0));
            let events = Arc::new(Mutex::new(Vec::new()));
            let counter = Arc::clone(&calls);
            let heard = Arc::clone(&events);
            let listener =
                move |record: &EventRecord| heard.lock().unwrap().push(record.event.clone());
            let builder = Context::builder().threads(threads).force_spill(true);
            let ctx = builder.faults(plan.clone()).listener(listener).build()?;
            let sums = lost_partition::sums(&ctx, move |n| {
                counter.fetch_add(1, Ordering::SeqCst);
                (n % 10, n)
            });
            let expected = (0..10).map(|key| (key, (0..40).map(|ten| ten * 10 + key).sum()));
            assert_eq!(sums.collect_as_map()?, expected.collect());
            ctx.flush_listeners();
            // Each of the four partitions has a hundred rows.
            assert_eq!(calls.load(Ordering::SeqCst), 400 + 100 * rerun);
            assert_eq!(lost_partition::rerun_tasks(&events.lock().unwrap()), rerun);
        }
    }
    Ok(())
}

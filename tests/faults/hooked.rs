//! A row type that calls a hook in every method: `Clone`, `Hash`, `Eq`, `Ord`, `Drop`, `Serialize`, `Deserialize` and
//! `Debug`. A hook may panic at the n-th call, call back into the context, or check that no engine lock is held.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The methods of a row that call the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Clone,
    Hash,
    Eq,
    Ord,
    Drop,
    Serialize,
    Deserialize,
    Debug,
}

/// The function that a row calls in each method.
type Callback = Arc<dyn Fn(Method) + Send + Sync>;

/// The hooks of the running tests. Rows carry a number, since a decoded row has no other link to its test.
static HOOKS: Mutex<Option<HashMap<u64, Callback>>> = Mutex::new(None);

fn hooks() -> MutexGuard<'static, Option<HashMap<u64, Callback>>> {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A registered hook, until it is dropped. Rows that live longer call nothing.
pub struct Hook(u64);

impl Hook {
    /// Registers a hook.
    pub fn new(callback: impl Fn(Method) + Send + Sync + 'static) -> Hook {
        let mut hooks = hooks();
        let hooks = hooks.get_or_insert_default();
        let number = hooks.keys().max().map_or(0, |max| max + 1);
        hooks.insert(number, Arc::new(callback));
        Hook(number)
    }

    /// Returns a row that calls this hook.
    pub fn row(&self, value: u64) -> Row {
        Row { value, hook: self.0 }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let removed = hooks().as_mut().and_then(|hooks| hooks.remove(&self.0));
        drop(removed);
    }
}

/// A row with a value, which decides its order, equality and hash.
pub struct Row {
    pub value: u64,
    hook: u64,
}

impl Row {
    /// Calls the hook. A destructor that runs while a panic unwinds does not, since a second panic would abort.
    fn call(&self, method: Method) {
        if method == Method::Drop && std::thread::panicking() {
            return;
        }
        let callback = hooks().as_ref().and_then(|hooks| hooks.get(&self.hook).cloned());
        if let Some(callback) = callback {
            callback(method);
        }
    }
}

impl Clone for Row {
    fn clone(&self) -> Row {
        self.call(Method::Clone);
        Row { ..*self }
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call(Method::Hash);
        self.value.hash(state);
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.call(Method::Eq);
        self.value == other.value
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> Ordering {
        self.call(Method::Ord);
        self.value.cmp(&other.value)
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.call(Method::Drop);
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.call(Method::Serialize);
        (self.value, self.hook).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        let (value, hook) = Deserialize::deserialize(deserializer)?;
        let row = Row { value, hook };
        row.call(Method::Deserialize);
        Ok(row)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call(Method::Debug);
        write!(f, "Row({})", self.value)
    }
}

#[test]
fn every_method_of_a_row_calls_its_hook() {
    let called = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&called);
    let hook = Hook::new(move |method| noted.lock().unwrap().push(method));
    let row = hook.row(1);
    let copy = row.clone();
    assert!(row == copy && row.cmp(&copy) == Ordering::Equal);
    let _ = format!("{row:?}");
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    row.hash(&mut hasher);
    let text = serde_json::to_string(&row).unwrap();
    let read: Row = serde_json::from_str(&text).unwrap();
    drop(read);
    drop(hook);
    drop((row, copy));
    use Method::*;
    assert_eq!(
        *called.lock().unwrap(),
        [Clone, Eq, Ord, Debug, Hash, Serialize, Deserialize, Drop]
    );
}

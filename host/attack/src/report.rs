use serde::Serialize;

/// What the suite came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this document.
    pub schema: u32,
    /// Who attacked: `root`, or `uid 1000`.
    pub user: String,
    /// The kernel's release.
    pub kernel: String,
    /// Which namespaces the workers had.
    pub namespaces: String,
    /// How long it all took.
    pub seconds: f64,
    /// One for each case.
    pub rows: Vec<Row>,
    /// How many held.
    pub held: usize,
    /// How many show nothing here, since they fail without any confinement too.
    pub vacuous: usize,
    /// How many were not run.
    pub skipped: usize,
    /// How many did what must not be possible, or left no evidence.
    pub broken: usize,
}

/// One case, or all variants of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `A1.openat-passwd`.
    pub id: String,
    /// `A1`.
    pub case: String,
    /// Whose doing it is.
    pub group: Group,
    /// What is tried.
    pub tries: String,
    /// What came of it without any confinement; empty where it was not run so.
    pub control: String,
    /// With Landlock alone.
    pub landlock: String,
    /// With the filter alone.
    pub seccomp: String,
    /// In a worker of a host.
    pub all: String,
    /// The record that the audit log has of it.
    pub record: Option<u64>,
    /// How it is judged.
    pub verdict: Verdict,
    /// Why it is not simply held; for those that are, what a reader should know.
    pub why: String,
    /// How many variants stand behind the row.
    pub variants: usize,
    /// How long the host took to answer, the longest of all variants.
    pub millis: u64,
}

/// How a row is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything was exactly as it must be.
    Held,
    /// It fails here without any confinement too, so that it shows nothing.
    Vacuous,
    /// It was not run.
    Skipped,
    /// Something was not as it must be.
    Broken,
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Native code in a sealed worker.
    Native,
    /// A live worker, as the kernel shows it to others.
    Outside,
    /// A worker that speaks the protocol wrongly.
    Peer,
    /// A hostile component.
    Guest,
}

impl Verdict {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Vacuous => "vacuous",
            Self::Skipped => "skipped",
            Self::Broken => "BROKEN",
        }
    }
}

impl Group {
    /// Every group, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Native, Self::Outside, Self::Peer, Self::Guest];

    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Native => "native code in a compromised worker",
            Self::Outside => "a live worker, seen from outside",
            Self::Peer => "a worker that breaks the protocol",
            Self::Guest => "hostile components",
        }
    }
}

impl Row {
    /// A row of which nothing is known yet.
    pub(crate) fn new(group: Group, id: &str, case: &str, tries: &str) -> Self {
        Self {
            id: id.to_owned(),
            case: case.to_owned(),
            group,
            tries: tries.to_owned(),
            control: String::new(),
            landlock: String::new(),
            seccomp: String::new(),
            all: String::new(),
            record: None,
            verdict: Verdict::Held,
            why: String::new(),
            variants: 1,
            millis: 0,
        }
    }

    pub(crate) fn judged(mut self, verdict: Verdict, why: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.why = why.into();
        self
    }
}

impl Report {
    pub(crate) fn new(rows: Vec<Row>, namespaces: String, seconds: f64) -> Self {
        let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        let user = match nix::unistd::geteuid().as_raw() {
            0 => "root".to_owned(),
            uid => format!("uid {uid}"),
        };
        let kernel = nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        Self {
            schema: 1,
            user,
            kernel,
            namespaces,
            seconds,
            held: count(Verdict::Held),
            vacuous: count(Verdict::Vacuous),
            skipped: count(Verdict::Skipped),
            broken: count(Verdict::Broken),
            rows,
        }
    }

    /// Whether nothing was broken.
    pub fn is_sound(&self) -> bool {
        self.broken == 0
    }
}

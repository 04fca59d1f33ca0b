//! Sections in Markdown, one per subcommand, and the file they become.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use haat_catalog::time::{Clock, SystemClock};

use crate::Bench;

/// What one subcommand found.
pub struct Section {
    file: String,
    title: String,
    command: String,
    load: String,
    body: String,
    notes: Vec<String>,
}

impl Section {
    /// Begins one; `file` orders it among the others, `command` is the subcommand that makes it again.
    pub fn begin(file: &str, title: &str, command: &str) -> Self {
        println!("== {title}");
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            file: file.to_owned(),
            title: title.to_owned(),
            command: command.to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            body: String::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a table.
    pub fn table(&mut self, markdown: &str) {
        println!("{markdown}");
        self.body.push_str(markdown);
        self.body.push('\n');
    }

    /// Adds a line below the tables.
    pub fn note(&mut self, text: String) {
        println!("- {text}");
        self.notes.push(text);
    }

    /// Keeps the section for the report.
    pub fn write(self, bench: &Bench) -> anyhow::Result<()> {
        let mut text = format!("## {}\n\n", self.title);
        writeln!(
            text,
            "`haat-bench {}` at commit {}, {}, load average {} before it began, {} products.\n",
            self.command,
            commit(),
            today(),
            self.load,
            bench.products
        )?;
        text.push_str(&self.body);
        for note in self.notes {
            writeln!(text, "- {note}")?;
        }
        let folder = bench.folder("sections")?;
        std::fs::write(folder.join(format!("{}.md", self.file)), text)?;
        Ok(())
    }
}

/// Whether an aim was met, in words.
pub fn verdict(met: bool, aim: &str) -> String {
    if met { format!("{aim}: met") } else { format!("{aim}: **missed**") }
}

/// Puts all sections into one file.
pub fn assemble(bench: &Bench, out: &Path) -> anyhow::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(bench.folder("sections")?)?.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(std::fs::DirEntry::path);
    let mut text = format!(
        "# Measured\n\nMade by `bench/run`; change nothing here by hand. Machine: {}. Server, database and load generator \
         share it. The binary is built with the profile `bench-fast`.\n",
        machine()
    );
    for path in paths {
        text.push('\n');
        text.push_str(&std::fs::read_to_string(path.path())?);
    }
    std::fs::write(out, text)?;
    println!("{}", out.display());
    Ok(())
}

fn machine() -> String {
    let find = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, v)| v.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 = find("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = find("/proc/cpuinfo", "model name");
    format!(
        "{cores} cores ({model}), {} GiB of memory, Linux {}",
        memory.div_ceil(1 << 20),
        kernel.split('-').next().unwrap_or_default().trim()
    )
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    // What was measured is then not what that commit has.
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if changed { format!("{commit} with changes not committed") } else { commit }
}

fn today() -> String {
    String::from(SystemClock.now()).chars().take(10).collect()
}

//! A disk, built from a trace of calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::process::crash::Chance;

/// What is on the disk of the calls that no sync has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    Nothing,
    Everything,
    /// Each write or not; of the names in a folder the first ones.
    Some,
    /// As `Some`, and the last write that is left ends at a sector.
    Torn,
    /// As `Everything`, and the blocks that a write has added to a file have no content.
    Zeroed,
}

impl Left {
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::Some,
        Self::Torn,
        Self::Zeroed,
    ];
}

/// Which syncs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Syncs,
    AllButTheWal,
}

const SECTOR: usize = 512;

enum Record {
    Write { inode: u64, at: usize, bytes: Vec<u8> },
    Cut { inode: u64, length: usize },
    Begin { inode: u64, number: u64 },
    End { inode: u64, number: u64 },
    File { inode: u64, path: PathBuf },
    Folder { inode: u64, path: PathBuf },
    Removed { path: PathBuf },
    Renamed { from: PathBuf, to: PathBuf },
    Mark(u64),
}

/// The calls of processes, and what was there before.
pub(super) struct Trace {
    root: PathBuf,
    /// The inodes of what was there, by path.
    before: BTreeMap<PathBuf, u64>,
    records: Vec<Record>,
}

/// The files of a disk; folders have no content.
pub(super) struct Image(BTreeMap<PathBuf, Option<Vec<u8>>>);

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone)]
enum Naming {
    Added(PathBuf, usize),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

/// A file or a folder. Of its changes the first `durable` are on the disk.
#[derive(Default)]
struct Node {
    /// The path of a file before the trace, whose content it has.
    content: Option<PathBuf>,
    is_folder: bool,
    is_wal: bool,
    changes: Vec<Change>,
    namings: Vec<Naming>,
    durable: usize,
    /// What was in the folder before the trace.
    entries: BTreeMap<PathBuf, usize>,
}

impl Node {
    fn len(&self) -> usize {
        self.changes.len() + self.namings.len()
    }
}

impl Trace {
    /// Notes what is there before the traced processes start.
    pub(super) fn begin(folder: &Path) -> Self {
        let root = fs::canonicalize(folder).unwrap();
        let mut before = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            before.insert(folder.clone(), fs::metadata(&folder).unwrap().ino());
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(before.insert(path.clone(), fs::metadata(&path).unwrap().ino())),
                }
            }
        }
        Self {
            root,
            before,
            records: Vec::new(),
        }
    }

    /// Reads the records that `trace.c` has written.
    pub(super) fn read(mut self, mut text: &[u8]) -> Self {
        while !text.is_empty() {
            let end = text.iter().position(|byte| *byte == b'\n').unwrap();
            let (line, rest) = (std::str::from_utf8(&text[..end]).unwrap(), &text[end + 1..]);
            text = rest;
            let (kind, fields) = line.split_once(' ').unwrap();
            let number = |field: Option<&str>| field.unwrap().parse::<u64>().unwrap();
            let mut numbers = fields.split(' ');
            let path = |text: &str| PathBuf::from(text);
            self.records.push(match kind {
                "w" => {
                    let (inode, at) = (number(numbers.next()), number(numbers.next()) as usize);
                    let (bytes, rest) = text.split_at(number(numbers.next()) as usize);
                    text = rest;
                    Record::Write {
                        inode,
                        at,
                        bytes: bytes.to_vec(),
                    }
                }
                "t" => Record::Cut {
                    inode: number(numbers.next()),
                    length: number(numbers.next()) as usize,
                },
                "b" => Record::Begin {
                    inode: number(numbers.next()),
                    number: number(numbers.next()),
                },
                "e" => Record::End {
                    inode: number(numbers.next()),
                    number: number(numbers.next()),
                },
                "c" | "d" => {
                    let (inode, name) = fields.split_once(' ').unwrap();
                    let inode = inode.parse().unwrap();
                    match kind {
                        "c" => Record::File {
                            inode,
                            path: path(name),
                        },
                        _ => Record::Folder {
                            inode,
                            path: path(name),
                        },
                    }
                }
                "u" => Record::Removed { path: path(fields) },
                "r" => {
                    let (length, names) = fields.split_once(' ').unwrap();
                    let (from, to) = names.split_at(length.parse().unwrap());
                    Record::Renamed {
                        from: path(from),
                        to: path(&to[1..]),
                    }
                }
                "m" => Record::Mark(fields.parse().unwrap()),
                other => panic!("{other:?}"),
            });
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the numbers of the marks before a cut.
    pub(super) fn marks(&self, cut: usize) -> BTreeSet<u64> {
        let marks = self.records[..cut].iter().filter_map(|record| match record {
            Record::Mark(number) => Some(*number),
            _ => None,
        });
        marks.collect()
    }

    /// Returns how many syncs of files with this ending have succeeded.
    pub(super) fn syncs(&self, end: &str) -> usize {
        let mut names: HashMap<u64, &Path> = self
            .before
            .iter()
            .map(|(path, inode)| (*inode, path.as_path()))
            .collect();
        let mut count = 0;
        for record in &self.records {
            match record {
                Record::File { inode, path } => drop(names.insert(*inode, path)),
                Record::End { inode, .. } => {
                    count += usize::from(
                        names
                            .get(inode)
                            .is_some_and(|path| path.to_str().unwrap().ends_with(end)),
                    );
                }
                _ => {}
            }
        }
        count
    }

    /// Returns the disk after the first `cut` records.
    pub(super) fn image(
        &self,
        base: &Path,
        cut: usize,
        left: Left,
        trust: Trust,
        chance: &mut Chance,
    ) -> Image {
        let mut nodes: Vec<Node> = Vec::new();
        // By inode, which a file system gives to another file once it is free, and by path.
        let (mut inodes, mut names) = (HashMap::new(), HashMap::new());
        for (path, inode) in &self.before {
            let inside = path.strip_prefix(&self.root).unwrap();
            let source = base.join(inside);
            let is_folder = source.is_dir();
            let number = nodes.len();
            nodes.push(Node {
                content: (!is_folder).then_some(source),
                is_folder,
                ..Node::default()
            });
            inodes.insert(*inode, number);
            names.insert(path.clone(), number);
            if let Some(parent) = path.parent().and_then(|parent| names.get(parent)) {
                let parent: usize = *parent;
                nodes[parent].entries.insert(path.clone(), number);
            }
        }
        let mut begun = HashMap::new();
        for record in &self.records[..cut] {
            match record {
                Record::Write { inode, at, bytes } => {
                    nodes[inodes[inode]]
                        .changes
                        .push(Change::Write(*at, bytes.clone()));
                }
                Record::Cut { inode, length } => nodes[inodes[inode]].changes.push(Change::Cut(*length)),
                Record::Begin { inode, number } => {
                    let node = inodes[inode];
                    begun.insert(*number, (node, nodes[node].len()));
                }
                Record::End { number, .. } => {
                    let (node, durable) = begun[number];
                    let node = &mut nodes[node];
                    if trust == Trust::Syncs || !node.is_wal {
                        node.durable = node.durable.max(durable);
                    }
                }
                Record::File { inode, path } | Record::Folder { inode, path } => {
                    let number = nodes.len();
                    nodes.push(Node {
                        is_folder: matches!(record, Record::Folder { .. }),
                        is_wal: path.to_str().unwrap().ends_with(".db-wal"),
                        ..Node::default()
                    });
                    inodes.insert(*inode, number);
                    names.insert(path.clone(), number);
                    let parent = names[path.parent().unwrap()];
                    nodes[parent].namings.push(Naming::Added(path.clone(), number));
                }
                Record::Removed { path } => {
                    names.remove(path);
                    let parent = names[path.parent().unwrap()];
                    nodes[parent].namings.push(Naming::Removed(path.clone()));
                }
                Record::Renamed { from, to } => {
                    assert_eq!(from.parent(), to.parent());
                    let node = names.remove(from).unwrap();
                    names.insert(to.clone(), node);
                    let parent = names[to.parent().unwrap()];
                    nodes[parent]
                        .namings
                        .push(Naming::Renamed(from.clone(), to.clone()));
                }
                Record::Mark(_) => {}
            }
        }
        let mut files = BTreeMap::new();
        let mut folders = vec![(PathBuf::new(), names[&self.root])];
        while let Some((inside, number)) = folders.pop() {
            let node = &nodes[number];
            if !node.is_folder {
                if !inside.to_str().unwrap().ends_with("-shm") {
                    files.insert(inside, Some(content(node, left, chance)));
                }
                continue;
            }
            let mut entries = node.entries.clone();
            let kept = match left {
                Left::Nothing => node.durable,
                Left::Everything | Left::Zeroed => node.namings.len(),
                Left::Some | Left::Torn => node.durable + chance.index(node.namings.len() - node.durable + 1),
            };
            for naming in &node.namings[..kept] {
                match naming {
                    Naming::Added(path, node) => drop(entries.insert(path.clone(), *node)),
                    Naming::Removed(path) => drop(entries.remove(path)),
                    Naming::Renamed(from, to) => {
                        let node = entries.remove(from).unwrap();
                        entries.insert(to.clone(), node);
                    }
                }
            }
            if !inside.as_os_str().is_empty() {
                files.insert(inside.clone(), None);
            }
            folders.extend(
                entries
                    .into_iter()
                    .map(|(path, node)| (path.strip_prefix(&self.root).unwrap().to_owned(), node)),
            );
        }
        Image(files)
    }
}

fn content(node: &Node, left: Left, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = node
        .content
        .as_ref()
        .map(|path| fs::read(path).unwrap())
        .unwrap_or_default();
    let (durable, pending) = node.changes.split_at(node.durable);
    for change in durable {
        apply(&mut bytes, change);
    }
    let mut kept: Vec<Change> = match left {
        Left::Nothing => Vec::new(),
        Left::Everything | Left::Zeroed => pending.to_vec(),
        Left::Some | Left::Torn => pending.iter().filter(|_| chance.below(2) == 0).cloned().collect(),
    };
    if left == Left::Torn
        && let Some(Change::Write(at, written)) = kept.last_mut()
    {
        let end = *at + written.len();
        // At a sector of the file, in front of its end.
        let sectors = (end - 1) / SECTOR - *at / SECTOR;
        match sectors {
            0 => drop(kept.pop()),
            _ => written.truncate((*at / SECTOR + 1 + chance.index(sectors)) * SECTOR - *at),
        }
    }
    for change in &kept {
        match change {
            Change::Write(at, written) if left == Left::Zeroed && at + written.len() > bytes.len() => {
                let old = bytes.len();
                apply(&mut bytes, change);
                // What the last block of the file had is there; new blocks have no content.
                let first_new = old.next_multiple_of(SECTOR);
                if let Some(new) = bytes.get_mut(first_new..) {
                    new.fill(0);
                }
            }
            _ => apply(&mut bytes, change),
        }
    }
    bytes
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, written) => {
            let end = at + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(written);
        }
        Change::Cut(length) => bytes.resize(*length, 0),
    }
}

impl Image {
    pub(super) fn digest(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        for (path, content) in &self.0 {
            context.update(path.to_str().unwrap().as_bytes());
            context.update(
                &content
                    .as_ref()
                    .map_or(u64::MAX, |content| content.len() as u64)
                    .to_le_bytes(),
            );
            context.update(content.as_deref().unwrap_or_default());
        }
        context.finish().as_ref().to_vec()
    }

    pub(super) fn write(&self, folder: &Path) {
        for (path, content) in &self.0 {
            let path = folder.join(path);
            match content {
                None => DirBuilder::new().mode(0o700).create(path).unwrap(),
                Some(content) => {
                    let mut file = OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(path)
                        .unwrap();
                    file.write_all(content).unwrap();
                }
            }
        }
    }
}

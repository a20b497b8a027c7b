//! Imports between the files of `src/`: no two files may import each other, however long the circle.
//!
//! Reads the text. Follows each path through `pub use` to the file that defines the item, so a `mod.rs` that only
//! declares and re-exports is not part of a circle.

use super::structure::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

/// One file of `src/`, as a module.
struct Module {
    /// The text without comments and without test modules.
    code: String,
    /// The items that the file defines.
    defined: BTreeSet<String>,
    /// The re-exported items, by the name that they have here.
    reexported: BTreeMap<String, Vec<String>>,
}

/// The modules by their paths: `plan::streams` is `src/plan/streams.rs`.
type Modules = BTreeMap<String, Module>;

fn words(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the path of a file's module, and the module.
fn module(Source { path, code, .. }: Source) -> (String, Module) {
    let path = path.with_extension("");
    let mut names: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    if names.last() == Some(&"mod") {
        names.pop();
    }
    let (mut defined, mut reexported) = (BTreeSet::new(), BTreeMap::new());
    for kind in ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static "] {
        let starts = code.match_indices(kind).map(|(at, _)| &code[at + kind.len()..]);
        defined.extend(starts.map(|rest| rest.chars().take_while(|c| is_word(*c)).collect::<String>()));
    }
    for (used, is_public) in uses(&code) {
        let (path, name) = used.split_once(" as ").unwrap_or((&used, used.rsplit("::").next().unwrap_or_default()));
        if is_public {
            reexported.insert(name.to_owned(), words(path));
        }
    }
    (names.join("::"), Module { code, defined, reexported })
}

fn modules() -> Modules {
    let mut modules: Modules = sources().into_iter().map(module).collect();
    modules.remove("lib");
    modules.remove("main");
    modules
}

/// Returns the paths in `use` declarations, with groups split up, and `true` for each that is re-exported.
fn uses(code: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rfind('\n').map_or(0, |line| line + 1);
        let before = code[line..at].trim();
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let rest = &code[at + "use ".len()..];
        let tree = &rest[..rest.find(';').unwrap_or(rest.len())];
        let mut paths = Vec::new();
        take_apart("", tree, &mut paths);
        found.extend(paths.into_iter().map(|path| (path, before.starts_with("pub"))));
    }
    found
}

fn take_apart(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let mut depth = 0;
    let parts = tree.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((before, group)) => {
                let group = &group[..group.rfind('}').unwrap_or(group.len())];
                take_apart(&format!("{prefix}{before}"), group, paths);
            }
            None => paths.push(format!("{prefix}{part}")),
        }
    }
}

/// Returns a path from the root of the crate, if the path is within this crate.
fn absolute(module: &str, path: &[String], modules: &Modules) -> Option<Vec<String>> {
    let (mut own, mut rest) = (words(module), path);
    match path.first()?.as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                own.pop();
                rest = &rest[1..];
            }
        }
        child if modules.contains_key(&format!("{module}::{child}")) => {}
        _ => return None,
    }
    own.extend_from_slice(rest);
    Some(own)
}

/// Returns the file that defines the item of an absolute path. Returns `None` for a module itself, and for paths of
/// other crates.
fn definer(path: &[String], modules: &Modules, depth: usize) -> Option<String> {
    let of_module = (1..=path.len()).rev().find(|count| modules.contains_key(&path[..*count].join("::")))?;
    let name = path[..of_module].join("::");
    let item = path.get(of_module)?;
    let module = &modules[&name];
    let elsewhere = module.reexported.get(item).filter(|_| depth < 8 && !module.defined.contains(item));
    let Some(target) = elsewhere.and_then(|target| absolute(&name, target, modules)) else { return Some(name) };
    definer(&[&target[..], &path[of_module + 1..]].concat(), modules, depth + 1).or(Some(name))
}

/// Returns the files from which a file imports.
fn imported(name: &str, module: &Module, modules: &Modules) -> BTreeSet<String> {
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rest = module.code.clone();
    for (used, _) in uses(&module.code) {
        let (path, local) = used.split_once(" as ").unwrap_or((&used, used.rsplit("::").next().unwrap_or_default()));
        by_name.insert(local.to_owned(), words(path));
        paths.push(words(path));
    }
    while let Some(at) = rest.find("\nuse ") {
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        rest.replace_range(at..end, "");
    }
    // Paths in the code: from the root, relative, or starting with an imported module.
    for (at, c) in rest.char_indices() {
        if !is_word(c) || rest[..at].ends_with(|c: char| is_word(c) || c == ':') {
            continue;
        }
        let path: String = rest[at..].chars().take_while(|c| is_word(*c) || *c == ':').collect();
        let parts: Vec<String> = words(path.trim_end_matches(':'));
        match by_name.get(&parts[0]) {
            Some(import) if parts.len() > 1 => paths.push([&import[..], &parts[1..]].concat()),
            _ if parts.len() > 1 => paths.push(parts),
            _ => {}
        }
    }
    let of_crate = paths.iter().filter_map(|path| absolute(name, path, modules));
    let files = of_crate.filter_map(|mut path| {
        let all = path.last().is_some_and(|last| last == "*");
        if all {
            path.pop();
            return modules.contains_key(&path.join("::")).then(|| path.join("::"));
        }
        definer(&path, modules, 0)
    });
    files.filter(|file| file != name).collect()
}

/// Returns a circle from a file back to itself, if there is one. `gone` are files that are in no circle.
fn circle<'g>(
    at: &'g str,
    graph: &'g BTreeMap<String, BTreeSet<String>>,
    way: &mut Vec<&'g str>,
    gone: &mut BTreeSet<&'g str>,
) -> Option<Vec<String>> {
    if let Some(start) = way.iter().position(|file| *file == at) {
        return Some(way[start..].iter().chain([&at]).map(|file| (*file).to_owned()).collect());
    }
    if gone.contains(at) {
        return None;
    }
    way.push(at);
    let found = graph[at].iter().find_map(|next| circle(next, graph, way, gone));
    way.pop();
    gone.insert(at);
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let modules = modules();
    let graph: BTreeMap<String, BTreeSet<String>> =
        modules.iter().map(|(name, module)| (name.clone(), imported(name, module, &modules))).collect();
    assert!(graph["engine::run"].contains("engine::session"), "imports were not found: {:?}", graph["engine::run"]);
    let mut gone = BTreeSet::new();
    let circles: Vec<String> = graph
        .keys()
        .filter_map(|file| circle(file, &graph, &mut Vec::new(), &mut gone))
        .map(|way| way.join(" -> "))
        .collect();
    assert!(circles.is_empty(), "files import each other in a circle:\n  {}", circles.join("\n  "));
}

#[test]
fn a_circle_is_found_through_re_exports() {
    let module = |code: &str, defined: &[&str], reexported: &[(&str, &str)]| Module {
        code: code.to_owned(),
        defined: defined.iter().map(|name| (*name).to_owned()).collect(),
        reexported: reexported.iter().map(|(name, path)| ((*name).to_owned(), words(path))).collect(),
    };
    let modules = Modules::from([
        ("a".to_owned(), module("pub use b::B;\nmod b;\nmod c;", &[], &[("B", "b::B")])),
        ("a::b".to_owned(), module("\nuse super::c;\nfn f() { c::C::new() }\nstruct B;", &["f", "B"], &[])),
        ("a::c".to_owned(), module("\nuse crate::a::{B};\nstruct C(B);", &["C"], &[])),
    ]);
    let graph: BTreeMap<String, BTreeSet<String>> =
        modules.iter().map(|(name, module)| (name.clone(), imported(name, module, &modules))).collect();
    assert_eq!(graph["a"], BTreeSet::from(["a::b".to_owned()]));
    assert_eq!(graph["a::c"], BTreeSet::from(["a::b".to_owned()]), "what `a` re-exports is imported from where it is");
    let found = circle("a::b", &graph, &mut Vec::new(), &mut BTreeSet::new());
    assert_eq!(found.unwrap(), ["a::b", "a::c", "a::b"]);
}

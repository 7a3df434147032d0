//! What a page must show: it is well-formed, needs nothing else, says in words what it draws, and marks every bind
//! that the events tell of.

use super::{Ended, cannot, inuse};
use libtest_mimic::{Completion, Failed, Trial};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("page::refuses_before_anything_is_played", refuses),
        Trial::ignorable_test("page::is_whole_in_its_place", in_place),
        Trial::ignorable_test("page::goes_to_stdout_alone", to_stdout),
    ]
}

/// A folder for a test's files.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(what: &str) -> std::io::Result<Folder> {
        let folder = std::env::temp_dir().join(format!("inuse-page-{what}-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Folder(folder))
    }

    /// What is in it.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = names.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Holds a page against the events of the same play.
pub(crate) fn check(page: &str, ended: &Ended) -> Result<(), Failed> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let page = Document::parse_with_options(page, options)?;
    needs_nothing(&page)?;
    every_drawing_has_its_words(&page)?;
    let moments = || ended.events.iter().filter(|event| event["event"] == "moment");
    for moment in moments() {
        let number = moment["number"].as_u64().ok_or("a moment without number")?;
        let step = by_id(&page, &format!("step-{number}")).ok_or_else(|| format!("no step {number}"))?;
        let acts: Vec<&Value> = moment["acts"].as_array().into_iter().flatten().collect();
        let binds: Vec<bool> =
            acts.iter().filter(|act| act["binds"] == true).map(|act| act["errno"].is_null()).collect();
        // A repetition shows its first bind.
        let shown = if has_class(step, "again") { &binds[..binds.len().min(1)] } else { &binds };
        let well = shown.iter().filter(|well| **well).count();
        let expect = (well, shown.len() - well);
        for shape in ["wide", "narrow"] {
            let marks =
                |class| inside(step, shape).filter(|node| node.attribute("class") == Some(class)).count();
            let seen = (marks("mark ok"), marks("mark no"));
            if seen != expect {
                return Err(format!("step {number} has {seen:?} marks, expected {expect:?}").into());
            }
        }
        // Each call is there in words, and each cause beside its refusal.
        let words = all_text(step);
        for act in acts.iter().filter(|_| !has_class(step, "again")) {
            let call = act["call"].as_str().unwrap_or_default();
            if !without_spaces(&words)
                .contains(&without_spaces(&inuse_rules::address::escape(call.as_bytes())))
            {
                return Err(format!("step {number} does not say {call:?}").into());
            }
        }
        if let Some(cause) = moment["why"]["cause"].as_str()
            && !words.contains(cause)
        {
            return Err(format!("step {number} does not say the cause {cause}").into());
        }
    }
    let has = |id: &str| by_id(&page, id).is_some();
    let tcp = ended.acts().filter_map(|act| act["sockets"].as_array()).flatten();
    let walked = tcp.filter(|socket| !socket["place"].is_null()).count() > 0;
    if has("states") != walked {
        return Err(format!("the diagram of states is there: {}, expected: {walked}", has("states")).into());
    }
    Ok(())
}

/// No script, and nothing from elsewhere.
fn needs_nothing(page: &Document<'_>) -> Result<(), Failed> {
    for node in page.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        if matches!(name, "script" | "link" | "img" | "iframe" | "object" | "image" | "use" | "foreignObject")
        {
            return Err(format!("it has a <{name}>").into());
        }
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            let elsewhere = matches!(name, "href" | "src") && !value.starts_with("#step-");
            if elsewhere || name.starts_with("on") {
                return Err(format!("it has {name}={value:?}").into());
            }
        }
        let style = if name == "style" { all_text(node) } else { String::new() };
        if style.contains("url(") || style.contains("@import") {
            return Err("its style names something else".into());
        }
    }
    Ok(())
}

fn every_drawing_has_its_words(page: &Document<'_>) -> Result<(), Failed> {
    let mut ids = HashSet::new();
    for id in page.descendants().filter_map(|node| node.attribute("id")) {
        if !ids.insert(id) {
            return Err(format!("two elements have the id {id}").into());
        }
    }
    let mut drawings = 0;
    for svg in page.descendants().filter(|node| node.has_tag_name_local("svg")) {
        if svg.attribute("aria-hidden") == Some("true") {
            continue;
        }
        drawings += 1;
        let named = svg.attribute("aria-labelledby").unwrap_or_default();
        let words = |tag| svg.children().find(|node| node.has_tag_name_local(tag)).map(all_text);
        let (title, desc) = (words("title").unwrap_or_default(), words("desc").unwrap_or_default());
        let known = named.split(' ').count() == 2 && named.split(' ').all(|id| ids.contains(id));
        if !known || title.is_empty() || desc.is_empty() {
            return Err(format!("a drawing has no words: {named:?} {title:?}").into());
        }
    }
    if drawings == 0 { Err("nothing is drawn".into()) } else { Ok(()) }
}

trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

fn by_id<'a, 'i>(page: &'a Document<'i>, id: &str) -> Option<Node<'a, 'i>> {
    page.descendants().find(|node| node.attribute("id") == Some(id))
}

fn has_class(node: Node<'_, '_>, class: &str) -> bool {
    let all: Vec<&str> = node.attribute("class").unwrap_or_default().split(' ').collect();
    class.split(' ').all(|class| all.contains(&class))
}

/// What is in a step's drawing of that shape.
fn inside<'a, 'i>(step: Node<'a, 'i>, shape: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    let drawings = step.descendants().filter(move |node| has_class(*node, "draw") && has_class(*node, shape));
    drawings.flat_map(|drawing| drawing.descendants())
}

fn all_text(node: Node<'_, '_>) -> String {
    node.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect()
}

/// A long call is broken into lines.
fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

fn html(words: &[&str], file: &Path) -> std::io::Result<std::process::Output> {
    inuse(words).arg("--html").arg(file).output()
}

/// Words that cannot be done are told before a scene is played.
fn refuses() -> Result<(), Failed> {
    let folder = Folder::new("refuses")?;
    let at = |name: &str| folder.0.join(name);
    fs::write(at("plain"), "kept")?;
    let check = |words: &[&str], file: &Path, expect: &str| {
        let output = html(words, file).expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said.replace(&*folder.0.to_string_lossy(), "FOLDER");
        let seen = (output.status.code(), &said[..], &output.stdout[..]);
        assert_eq!(seen, (Some(2), expect, &b""[..]), "{file:?}");
    };
    let scene = &["udp"][..];
    check(scene, &folder.0, "inuse: FOLDER is a directory; --html takes a file\n");
    check(
        scene,
        &at("no/such/page.html"),
        "inuse: FOLDER/no/such/page.html cannot be written: No such file or directory (os error 2)\n",
    );
    check(
        scene,
        &at("plain/page.html"),
        "inuse: FOLDER/plain/page.html cannot be written: Not a directory (os error 20)\n",
    );
    check(
        scene,
        Path::new("/proc/page.html"),
        "inuse: /proc/page.html cannot be written: No such file or directory (os error 2)\n",
    );
    check(
        &["udp", "--json"],
        Path::new("-"),
        "inuse: --json and --html - both want standard output; give --html a file\n",
    );
    assert_eq!(
        (folder.names(), fs::read_to_string(at("plain"))?),
        (vec!["plain".to_owned()], "kept".to_owned())
    );
    Ok(())
}

/// An old page is replaced as a whole, a link keeps leading where it leads, a pipe is written and not replaced.
fn in_place() -> Result<Completion, Failed> {
    let folder = Folder::new("place")?;
    let at = |name: &str| folder.0.join(name);
    fs::write(at("old.html"), "old")?;
    fs::set_permissions(at("old.html"), PermissionsExt::from_mode(0o640))?;
    symlink("old.html", at("link.html"))?;
    let output = html(&["udp"], &at("link.html"))?;
    if output.status.code() == Some(3) {
        assert_eq!(fs::read_to_string(at("old.html"))?, "old");
        return cannot(String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    assert!(text.starts_with("udp\n\n"), "the text is shown as well: {text}");
    let page = fs::read_to_string(at("old.html"))?;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert_eq!(fs::metadata(at("old.html"))?.permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(at("link.html"))?, Path::new("old.html"));
    assert_eq!(folder.names(), ["link.html", "old.html"]);

    let made = Command::new("mkfifo").arg(at("pipe")).status()?;
    assert!(made.success());
    let pipe = at("pipe");
    let reader = std::thread::spawn(move || {
        let mut read = String::new();
        fs::File::open(pipe).and_then(|mut pipe| pipe.read_to_string(&mut read)).map(|_| read)
    });
    let output = html(&["udp"], &at("pipe"))?;
    let read = reader.join().map_err(|_| "the reader failed")??;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(read.ends_with("</html>\n"));
    assert_eq!(folder.names(), ["link.html", "old.html", "pipe"]);
    Ok(Completion::Completed)
}

fn to_stdout() -> Result<Completion, Failed> {
    let output = html(&["udp"], Path::new("-"))?;
    if output.status.code() == Some(3) {
        return cannot(String::from_utf8_lossy(&output.stderr));
    }
    let page = String::from_utf8(output.stdout)?;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
    Ok(Completion::Completed)
}

//! `inuse lab list` for people.

use super::{group, is_long, needs};
use crate::render::wrap::hanging;
use anstyle::Style;
use inuse_lab::play::needs_only_loopback;
use inuse_rules::scene::lesson::plays;
use std::fmt::Write as _;

const HEADING: Style = Style::new().bold();

/// Every play under its heading, and what it needs.
pub fn text(width: usize) -> String {
    let mut out = String::new();
    let mut under = "";
    for play in plays() {
        if group(&play) != under {
            under = group(&play);
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{HEADING}{under}{HEADING:#}");
        }
        let mut notes: Vec<String> = needs(&play).into_iter().map(|need| format!("needs {need}")).collect();
        if is_long(&play) {
            notes.push("takes more than a minute".into());
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        out.push_str(&hanging(
            &format!("{}{notes}", play.title()),
            &format!("  {:<34}  ", play.name()),
            INDENT,
            width,
        ));
    }
    let all = plays().count();
    let content = plays().filter(needs_only_loopback).count();
    let root = plays().filter(|play| needs(play).contains(&"root")).count();
    let total = format!(
        "{all} scenes. Each is played in namespaces of its own, which root has, and ordinary users too where the kernel \
         lets them have user namespaces; {root} need root even then, for processes of several users. Without namespaces \
         {content} can be played on free loopback ports."
    );
    out.push('\n');
    out.push_str(&hanging(&total, "", "", width));
    out
}

/// Under the titles.
const INDENT: &str = "                                      ";

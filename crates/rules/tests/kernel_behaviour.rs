//! docs/kernel-behaviour.md must name every rule with its kernel function, and only scenes that exist.

use inuse_rules::{Rule, scene};

const PAGE: &str = include_str!("../../../docs/kernel-behaviour.md");

#[test]
fn every_rule_has_its_line() {
    for rule in Rule::ALL {
        let start = format!("| `{}` |", rule.code());
        let line = PAGE.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no line for {}", rule.code()));
        let function = rule.kernel_function().split(", ").next().unwrap();
        assert!(line.contains(function), "{line} does not name {function}");
    }
}

#[test]
fn every_scene_that_is_named_exists() {
    let table = PAGE.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let column = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        column.split('`').skip(1).step_by(2)
    });
    let families = ["privilege", "tcp", "port0", "unix"];
    let mut named = 0;
    for name in table.filter(|name| !families.contains(name)) {
        assert!(scene::by_name(name).is_some(), "no scene {name}");
        named += 1;
    }
    for text in PAGE.split("cene").skip(1) {
        // "scene `a`", "Scenes `a` and `b`", "(scene `a`)": every quoted word up to the end of the sentence.
        let sentence = text.split(['.', ')', ';']).next().unwrap_or_default();
        for name in
            sentence.split('`').skip(1).step_by(2).filter(|name| name.contains('-') && !name.contains(' '))
        {
            assert!(scene::by_name(name).is_some(), "no scene {name}");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} scenes are named");
}

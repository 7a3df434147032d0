//! Prose set to a width. Commands and tables are never broken.

/// Text broken at spaces so that no line is wider than `width`, each line behind `indent`. A word that is
/// wider stands alone. Ends with a line feed.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    hanging(text, indent, indent, width)
}

/// The same with another indent for the first line.
pub(super) fn hanging(text: &str, first: &str, rest: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = String::from(first);
    let mut room = width.saturating_sub(first.chars().count());
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let wide = word.chars().count();
        if !fresh && wide + 1 > room {
            out.push_str(line.trim_end());
            out.push('\n');
            line = String::from(rest);
            room = width.saturating_sub(rest.chars().count());
            fresh = true;
        }
        if !fresh {
            line.push(' ');
            room = room.saturating_sub(1);
        }
        line.push_str(word);
        room = room.saturating_sub(wide);
        fresh = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_at_spaces_and_words_are_not() {
        assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(wrapped("averyveryverylongword x", "", 5), "averyveryverylongword\nx\n");
        assert_eq!(hanging("a b c", "- ", "  ", 4), "- a\n  b\n  c\n");
        assert_eq!(wrapped("", "", 5), "\n");
    }
}

//! The `title` of front matter: YAML between lines of `---`, TOML between lines of `+++`. Only that one value is read, in the forms
//! in which a text can stand; a list, a table or a reference gives none.

mod strings;

use pulldown_cmark::MetadataBlockKind;

use crate::formats::tidy_title;

/// The value of `title` at the top level.
pub(super) fn title(block: &str, kind: MetadataBlockKind) -> Option<String> {
    let value = match kind {
        MetadataBlockKind::YamlStyle => yaml(block),
        MetadataBlockKind::PlusesStyle => toml(block),
    };
    tidy_title(&value?)
}

fn is_title(name: &str) -> bool {
    matches!(name.trim_end(), "title" | "\"title\"" | "'title'")
}

/// YAML 1.2: a scalar, plain, quoted or a block, that goes on in the lines that are indented.
fn yaml(block: &str) -> Option<String> {
    let mut lines = block.lines();
    let first = lines.find_map(|line| line.split_once(':').filter(|(name, _)| is_title(name)))?.1.trim();
    let indented = |line: &&str| line.trim().is_empty() || line.starts_with([' ', '\t']);
    let more: Vec<&str> = lines.take_while(indented).map(str::trim).collect();
    let all = || format!("{first}\n{}", more.join("\n"));
    match first.chars().next() {
        // Folded or not, all of it is one line here.
        Some('|' | '>') => Some(more.join("\n")),
        Some('"') => strings::double_quoted(all().get(1..)?),
        Some('\'') => strings::single_quoted(all().get(1..)?),
        Some('&' | '*' | '[' | '{' | '!' | '%' | '@' | '`') => None,
        _ => plain(first, &more),
    }
}

/// A plain scalar: it ends at a comment. What begins below the name is a text only where it is no list and no mapping.
fn plain(first: &str, more: &[&str]) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    let below = more.iter().map(|line| (true, *line));
    for (is_below, line) in std::iter::once((false, first)).chain(below) {
        let before = |at: usize| line.get(..at).filter(|before| before.is_empty() || before.ends_with([' ', '\t']));
        let text = line.match_indices('#').find_map(|(at, _)| before(at)).unwrap_or(line);
        if is_below && words.is_empty() && (text.starts_with("- ") || text.contains(": ") || text.ends_with(':')) {
            return None;
        }
        words.extend(text.split_whitespace());
        if text.len() < line.len() && !words.is_empty() {
            break;
        }
    }
    (!matches!(words.as_slice(), ["~" | "null" | "Null" | "NULL"])).then(|| words.join(" "))
}

/// TOML 1.0: a string before the first table.
fn toml(block: &str) -> Option<String> {
    let mut rest = block.trim_start();
    while !rest.is_empty() && !rest.starts_with('[') {
        let (line, below) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.starts_with('#') {
            rest = below.trim_start();
            continue;
        }
        let name = line.split('=').next().filter(|name| name.len() < line.len())?;
        let value = rest.get(name.len() + 1..)?.trim_start_matches([' ', '\t']);
        if is_title(name) {
            return strings::toml(value);
        }
        rest = strings::after_toml(value).trim_start();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_titles_are_read() {
        for (block, expected) in [
            ("title: Plain\n", Some("Plain")),
            ("draft: true\r\ntitle: Plain # comment\r\n", Some("Plain")),
            ("'title': C# and x#5\t# comment\n", Some("C# and x#5")),
            ("title: Plain\n  goes on # comment\n  not this\nother: x\n", Some("Plain goes on")),
            ("title:\n  Below\n", Some("Below")),
            ("title: # comment\n  Below\n", Some("Below")),
            ("title:\n  en: Mapped\n", None),
            ("title:\n  - Listed\n", None),
            ("title:\n- Listed\n", None),
            ("title: Time: 10:30\n", Some("Time: 10:30")),
            ("title: \"The \\\"cold\\\" rule\" # comment\n", Some("The \"cold\" rule")),
            ("title: \"a\\tb\\u00e9\\x41\\U0001F600\\ud83d\\ude00\\/\\\\\\e\"\n", Some("a bé\u{41}😀😀/\\")),
            ("title: \"folded\n  over\\\n  lines\"\n", Some("folded overlines")),
            ("title: \"C:\\dir\"\n", Some("C:\\dir")),
            ("title: 'It''s cold' # comment\n", Some("It's cold")),
            ("title: 'over\n  lines'\n", Some("over lines")),
            ("title: 'a\\tb'\n", Some("a\\tb")),
            ("title: >-\n  Folded front\n  title\n", Some("Folded front title")),
            ("title: |2+ # comment\n  Literal # text\n\n  title\nother: x\n", Some("Literal # text title")),
            ("other: |\n  title: no\ntitle: yes it is\n", Some("yes it is")),
            ("other:\n  title: nested\n", None),
            ("title: [a, b]\n", None),
            ("title: *reference\n", None),
            ("title: null\n", None),
            ("title: ''\n", None),
            ("title: \"open\n", None),
            ("title: \"a\" b\n", None),
            ("subtitle: x\n", None),
        ] {
            assert_eq!(title(block, MetadataBlockKind::YamlStyle).as_deref(), expected, "{block:?}");
        }
    }

    #[test]
    fn toml_titles_are_read() {
        for (block, expected) in [
            ("title = \"The \\\"cold\\\" rule\" # comment\n", Some("The \"cold\" rule")),
            ("# title = \"no\"\n\"title\"= 'C:\\dir'\n", Some("C:\\dir")),
            ("title = \"\"\"\nOver\nlines and \\\n   lines\"\"\"\n", Some("Over lines and lines")),
            ("title = '''\nIt's\ncold'''\n", Some("It's cold")),
            ("title = \"caf\\u00e9\"", Some("café")),
            ("tags = [\n  \"]\", # title = \"no\"\n  [\"x\"]\n]\ntitle = \"After\"\n", Some("After")),
            ("a = \"\"\"\ntitle = 'no'\n\"\"\"\nb = {c = '}', d = 1}\ntitle = 'After'\n", Some("After")),
            ("draft = true\n[params]\ntitle = \"Of a table\"\n", None),
            ("[[menu]]\ntitle = \"Of a table\"\n", None),
            ("params.title = \"Of a table\"\n", None),
            ("title = 5\n", None),
            ("title = \"open\nnext = 1\"\n", None),
            ("title", None),
            ("", None),
        ] {
            assert_eq!(title(block, MetadataBlockKind::PlusesStyle).as_deref(), expected, "{block:?}");
        }
    }
}

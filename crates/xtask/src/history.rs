//! The rows of the rules' histories, as far as the chores need them: which event, in which story, with which answer.

use crate::ChoreError;
use crate::tree;

/// One row of a history.
pub struct Row {
    /// The file, `culture.txt`.
    pub file: String,
    /// The title of its story; nothing before the first.
    pub story: String,
    /// The whole row, on one line.
    pub text: String,
    /// `LotOpened`, or `check`.
    pub event: String,
    /// The last cell.
    pub answer: String,
}

impl Row {
    /// Whether the answer names the code.
    pub fn names(&self, code: &str) -> bool {
        words(&self.answer, code) > 0
    }
}

/// Every row of every history, file by file.
pub fn all() -> Result<Vec<Row>, ChoreError> {
    let mut found = Vec::new();
    for path in tree::files(&tree::root().join("crates/rules/histories"), ".txt")? {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut story = String::new();
        for line in lines(&tree::read(&path)?) {
            if let Some(title) = line.strip_prefix("==") {
                title.trim().clone_into(&mut story);
            } else if !line.starts_with('#')
                && let Some((event, answer)) = event_and_answer(&line)
            {
                found.push(Row { file: file.clone(), story: story.clone(), text: line, event, answer });
            }
        }
    }
    Ok(found)
}

/// The lines of a history, each with its indented continuations.
fn lines(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in text.lines() {
        match rows.last_mut() {
            Some(row) if line.starts_with(' ') => {
                row.push(' ');
                row.push_str(line.trim());
            }
            _ => rows.push(line.trim_end().to_owned()),
        }
    }
    rows
}

/// `LotOpened`, or `check`, and the last cell.
fn event_and_answer(row: &str) -> Option<(String, String)> {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let what = match cells.as_slice() {
        [_, question, _] => question,
        [_, _, what, ..] => what,
        _ => return None,
    };
    Some((what.split_whitespace().next()?.to_owned(), (*cells.last()?).to_owned()))
}

/// How often `word` stands in `text` as a whole word.
pub fn words(text: &str, word: &str) -> usize {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(word)
        .filter(|(at, _)| {
            let before = text.get(..*at).and_then(|t| t.chars().next_back());
            let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
            !is_part(before) && !is_part(after)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_only() {
        assert_eq!(words("A_B A_BC xA_B A_B.", "A_B"), 2);
    }

    #[test]
    fn a_row_goes_on_in_indented_lines() {
        let read = lines("d1 09:00 | dora/PHY | DonorRegistered on donor:D1 |\n    birth_year=1990 | accepted\n# a comment\n");
        assert_eq!(read.len(), 2);
        assert_eq!(event_and_answer(&read[0]), Some(("DonorRegistered".to_owned(), "accepted".to_owned())));
    }
}

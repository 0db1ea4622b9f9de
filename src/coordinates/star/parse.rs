//! The syntax of STAR files: blocks `data_NAME` with pairs `_key value` and tables `loop_`.
//!
//! Read as RELION, Warp, crYOLO and starfile write them: a column's name stands on its own line, a row is one line, values are
//! separated by blanks and quoted where they have some. Any line ends, blank lines and comments anywhere. Text fields between
//! semicolons and rows over several lines, which none of these programs writes, are refused.
//!
//! Nothing is copied from the text: a table holds slices of it, and its rows are split only while they are visited, so the memory
//! stays within a small multiple of the longest header whatever the file.

/// More columns than any program writes; RELION knows some 500 labels.
const MOST_COLUMNS: usize = 2000;

/// What is wrong and on which line, from 1.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub line: u64,
    pub message: String,
}

impl Wrong {
    pub fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// The pairs or one loop of a block.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    /// The block's name without `data_`; empty for `data_` alone.
    pub block: &'a str,
    /// The line of the first key or of `loop_`.
    pub line: u64,
    /// Names of the columns of a loop, without the underscore; empty for pairs.
    pub columns: Vec<&'a str>,
    /// Keys, without the underscore, and values of pairs; empty for a loop.
    pub pairs: Vec<(&'a str, &'a str)>,
    rows: Lines<'a>,
}

impl<'a> Table<'a> {
    /// The place of a column.
    ///
    /// # Errors
    /// When the name occurs twice.
    pub fn column(&self, name: &str) -> Result<Option<usize>, Wrong> {
        let mut places = self.columns.iter().enumerate().filter(|(_, column)| **column == name);
        match (places.next(), places.next()) {
            (found, None) => Ok(found.map(|(place, _)| place)),
            _ => Err(Wrong::new(self.line, format!("two columns are named _{name}: remove one"))),
        }
    }

    /// Calls `visit` with the line and the values of each row; every row has as many values as there are columns.
    ///
    /// # Errors
    /// At the first row that is no row, and what `visit` refuses.
    pub fn for_each_row(&self, mut visit: impl FnMut(u64, &[&'a str]) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let mut values = Vec::with_capacity(self.columns.len());
        for Line { number, text } in self.rows {
            if is_blank(text) {
                continue;
            }
            if text.starts_with(';') {
                return Err(Wrong::new(number, "text between semicolons is not understood: put the value in quotes"));
            }
            let more = split(text, &mut values, self.columns.len()).map_err(|message| Wrong::new(number, message))?;
            if more || values.len() != self.columns.len() {
                let found = if more { "more values than".to_owned() } else { format!("{} values where", values.len()) };
                let message = format!(
                    "{found} the header names {} columns: put values with spaces in quotes, and write a row on one line",
                    self.columns.len()
                );
                return Err(Wrong::new(number, message));
            }
            visit(number, &values)?;
        }
        Ok(())
    }
}

/// The tables of a text, one after the other.
pub(super) struct Tables<'a> {
    lines: Lines<'a>,
    block: &'a str,
    started: bool,
}

impl<'a> Tables<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { lines: Lines { rest: text, number: 0 }, block: "", started: false }
    }

    /// The next table; `None` at the end.
    ///
    /// # Errors
    /// When a line is neither block, key, loop nor comment.
    pub fn next_table(&mut self) -> Result<Option<Table<'a>>, Wrong> {
        let mut table = Table { block: self.block, ..Table::default() };
        loop {
            let before = self.lines;
            let Some(Line { number, text }) = self.lines.next() else { break };
            if is_blank(text) || text.starts_with(';') {
                continue;
            }
            let is_start = block_name(text).is_some() || is_loop(text);
            if is_start && !table.pairs.is_empty() {
                self.lines = before;
                break;
            }
            if let Some(name) = block_name(text) {
                (self.block, self.started) = (name, true);
                table.block = name;
            } else if is_loop(text) {
                self.started = true;
                return self.loop_table(number).map(Some);
            } else if text.starts_with('_') {
                let mut values = Vec::new();
                let more = split(text, &mut values, 2).map_err(|message| Wrong::new(number, message))?;
                if more {
                    return Err(Wrong::new(number, "more than one value after a key: put a value with spaces in quotes"));
                }
                if table.pairs.is_empty() {
                    table.line = number;
                }
                table.pairs.push((values[0].trim_start_matches('_'), values.get(1).copied().unwrap_or_default()));
                if table.pairs.len() > MOST_COLUMNS {
                    return Err(Wrong::new(number, format!("the block has more than {MOST_COLUMNS} keys")));
                }
            } else if self.started {
                return Err(Wrong::new(number, "values without a loop_ and names of columns before them"));
            }
            // What stands before the first block is for people.
        }
        Ok((!table.pairs.is_empty()).then_some(table))
    }

    fn loop_table(&mut self, line: u64) -> Result<Table<'a>, Wrong> {
        let mut columns = Vec::new();
        let mut rows = self.lines;
        while let Some(Line { number, text }) = self.lines.next() {
            if is_blank(text) {
                continue;
            }
            if !text.starts_with('_') {
                break;
            }
            let mut values = Vec::new();
            if split(text, &mut values, 1).map_err(|message| Wrong::new(number, message))? {
                return Err(Wrong::new(
                    number,
                    "more than a name in the header of a loop: write each column on a line of its own",
                ));
            }
            columns.push(values[0].trim_start_matches('_'));
            if columns.len() > MOST_COLUMNS {
                return Err(Wrong::new(number, format!("the loop has more than {MOST_COLUMNS} columns")));
            }
            rows = self.lines;
        }
        self.lines = rows;
        loop {
            let before = self.lines;
            match self.lines.next() {
                Some(Line { text, .. }) if !(block_name(text).is_some() || is_loop(text) || text.starts_with('_')) => {}
                _ => {
                    self.lines = before;
                    break;
                }
            }
        }
        rows.rest = &rows.rest[..rows.rest.len() - self.lines.rest.len()];
        Ok(Table { block: self.block, line, columns, pairs: Vec::new(), rows })
    }
}

/// The lines of a text, without blanks around them.
#[derive(Clone, Copy, Debug, Default)]
struct Lines<'a> {
    rest: &'a str,
    number: u64,
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: u64,
    text: &'a str,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        let (text, rest) = self.rest.split_at(end);
        (self.rest, self.number) = (rest, self.number + 1);
        Some(Line { number: self.number, text: text.trim_matches(is_space) })
    }
}

/// Only these separate values: a name may have a no-break space.
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

fn block_name(line: &str) -> Option<&str> {
    line.strip_prefix("data_").map(|name| name.split(is_space).next().unwrap_or_default())
}

fn is_loop(line: &str) -> bool {
    line.strip_prefix("loop_").is_some_and(|rest| rest.is_empty() || rest.starts_with(is_space) || rest.starts_with('#'))
}

/// Puts the first `most` values of a line into `values`; returns whether there are more.
fn split<'a>(line: &'a str, values: &mut Vec<&'a str>, most: usize) -> Result<bool, String> {
    values.clear();
    let mut rest = line.trim_start_matches(is_space);
    while !rest.is_empty() && !rest.starts_with('#') {
        if values.len() == most {
            return Ok(true);
        }
        let quote = rest.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let (value, after) = match quote {
            // As in CIF, a quotation mark closes a value only before a blank.
            Some(quote) => rest[1..]
                .match_indices(quote)
                .map(|(at, _)| (&rest[1..1 + at], &rest[2 + at..]))
                .find(|(_, after)| after.is_empty() || after.starts_with(is_space))
                .ok_or_else(|| format!("the quotation mark {quote} is not closed"))?,
            None => rest.split_at(rest.find(is_space).unwrap_or(rest.len())),
        };
        values.push(value);
        rest = after.trim_start_matches(is_space);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every table as text: block, keys or columns, rows.
    fn tables(text: &str) -> Result<Vec<String>, Wrong> {
        let mut tables = Tables::new(text);
        let mut all = Vec::new();
        while let Some(table) = tables.next_table()? {
            let mut words = format!("{}@{} {:?} {:?}", table.block, table.line, table.pairs, table.columns);
            table.for_each_row(|line, values| {
                words.push_str(&format!(" {line}:{values:?}"));
                Ok(())
            })?;
            all.push(words);
        }
        Ok(all)
    }

    #[test]
    fn blocks_pairs_and_loops_are_told_apart() {
        let text = "# made by hand\nversion 3\n\ndata_general\n_a 1 # one\n_b 'x y'\n\n_c\n\ndata_\n\nloop_ \n_x #1 \n\n# c\n_y #2\n\n1 \"a b\"\n\
            # between\n\n  'it''s' \"#2\"  # three\nd'e#f\t2\r\nloop_\n_z\n_k v\ndata_last";
        let expected = [
            r##"general@5 [("a", "1"), ("b", "x y"), ("c", "")] []"##,
            r##"@12 [] ["x", "y"] 18:["1", "a b"] 21:["it''s", "#2"] 22:["d'e#f", "2"]"##,
            r##"@23 [] ["z", "k"]"##,
        ];
        // A key straight after the columns of a loop is one of them, unless it has a value.
        assert_eq!(tables(&text.replace("_k v", "_k")).unwrap(), expected);
        assert_eq!(tables(text).unwrap_err().line, 25);
        assert_eq!(tables(&text.replace("_k v", "_k").replace('\n', "\r\n")).unwrap(), expected);
        assert_eq!(tables("").unwrap(), [""; 0]);
        assert_eq!(tables("data_a\n_x 1\nloop_\n_y\n2\n_z 3\n").unwrap().len(), 3);
    }

    #[test]
    fn what_is_wrong_is_found_on_its_line() {
        let wrong = |text: &str| tables(text).unwrap_err();
        for (line, part, text) in [
            (5, "1 values where the header names 2", "data_a\nloop_\n_x\n_y\n1\n"),
            (5, "more values than the header names 2", "data_a\nloop_\n_x\n_y\n1 2 3\n"),
            (3, "without a loop_", "data_a\n\n1 2 3\n"),
            (4, "not closed", "data_a\nloop_\n_x\n\"a\n"),
            (4, "semicolons", "data_a\nloop_\n_x\n;a\n;\n"),
            (2, "more than one value", "data_a\n_x 1 2\n"),
            (3, "line of its own", "data_a\nloop_\n_x _y\n"),
            (3, "more values than the header names 0", "data_a\nloop_\n1\n"),
        ] {
            let wrong = wrong(text);
            assert!(wrong.line == line && wrong.message.contains(part), "{text:?}: {wrong:?}");
        }
        assert_eq!(wrong(&format!("loop_\n{}", "_x\n".repeat(MOST_COLUMNS + 1))).line, MOST_COLUMNS as u64 + 2);
    }

    #[test]
    fn bombs_take_time_and_memory_of_their_size_only() {
        let clock = std::time::Instant::now();
        let blocks = "data_a\n_x 1\n".repeat(200_000);
        let mut all = Tables::new(&blocks);
        let mut count = 0;
        while all.next_table().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 200_000);
        assert_eq!(tables(&"data_\n".repeat(1_000_000)).unwrap().len(), 0);
        assert_eq!(tables(&"loop_\n".repeat(200_000)).unwrap().len(), 200_000);
        assert!(tables(&format!("loop_\n{}", "_x\n".repeat(500_000))).is_err());
        assert!(tables(&format!("loop_\n_x\n{}", "1 ".repeat(1_000_000))).is_err());
        assert!(tables(&format!("loop_\n_x\n\"{}", "\"a".repeat(500_000))).is_err());
        assert!(tables(&format!("loop_\n{}", "\n".repeat(1_000_000))).is_ok());
        assert!(clock.elapsed().as_secs() < 10, "{:?}", clock.elapsed());
    }
}

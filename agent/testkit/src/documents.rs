//! The command lines that the repository's documents, scripts and messages tell people to type: whether they can be typed.
//!
//! A line counts where it is in backticks or quotes, after a prompt, or alone; what is a name for something, in capitals or
//! braces, stands for any one word. That its values are good is not looked at.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};

/// What people read or run. Screens in tests are left out: they show mistakes, too.
const KINDS: [&str; 12] = [
    "conf", "example", "html", "md", "nix", "ps1", "py", "rs", "service", "sh", "tf", "yml",
];
/// What was built, or came from elsewhere.
const FOREIGN: [&str; 3] = ["target", "result", "node_modules"];
/// What may stand before a command that is not the first thing in its line.
const BEFORE: [&str; 9] = ["`", "\"", "'", "$ ", "# ", "sudo ", "&& ", "| ", "\\n  "];
/// What ends a command, as a word of its own.
const ENDS: [&str; 5] = ["|", "||", "&&", ";", "#"];

/// A command line as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The file, from the top of the repository.
    pub file: PathBuf,
    /// Its line, from 1.
    pub number: usize,
    /// The words after the program.
    pub words: Vec<String>,
}

/// Every command line of `program` in the repository that this workspace is in.
pub fn lines(program: &str) -> Vec<Line> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the workspace is two folders above");
    let mut files = Vec::new();
    walk(top, &mut files);
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        // A picture is no document.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let file = file.strip_prefix(top).unwrap_or(&file);
        // Quotes in Rust have keys' names in them, and much else.
        let in_quotes = file.extension().is_none_or(|kind| kind != "rs");
        let found = in_text(&text, program, in_quotes).into_iter();
        lines.extend(found.map(|(number, words)| Line {
            file: file.to_owned(),
            number,
            words,
        }));
    }
    lines
}

/// What is wrong with those lines, one sentence each.
pub fn wrong(command: &Command, lines: &[Line]) -> Vec<String> {
    let mut command = command.clone();
    command.build();
    let judged = lines.iter().filter_map(|line| {
        let problem = judge(&command, &line.words).err()?;
        let (file, words) = (line.file.display(), line.words.join(" "));
        let program = command.get_name();
        Some(format!(
            "{file}:{}: `{program} {words}`: {problem}",
            line.number
        ))
    });
    judged.collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_symlink() || FOREIGN.contains(&&*name) || name == ".git" {
            continue;
        }
        if path.is_dir() {
            walk(&path, files);
        } else if !name.contains('.')
            || KINDS.iter().any(|kind| name.ends_with(&format!(".{kind}")))
        {
            files.push(path);
        }
    }
}

/// Line number and words of each command in a text. One that goes on after a backslash is one line.
fn in_text(text: &str, program: &str, in_quotes: bool) -> Vec<(usize, Vec<String>)> {
    let (mut found, mut joined, mut begin) = (Vec::new(), String::new(), 1);
    for (number, line) in (1..).zip(text.lines()) {
        let line = if joined.is_empty() {
            begin = number;
            line
        } else {
            line.trim_start()
        };
        if let Some(half) = line.strip_suffix('\\') {
            joined += half.trim_end();
            joined.push(' ');
            continue;
        }
        joined += line;
        let commands = in_line(&joined, program, in_quotes).into_iter();
        found.extend(commands.map(|words| (begin, words)));
        joined.clear();
    }
    found
}

fn in_line(line: &str, program: &str, in_quotes: bool) -> Vec<Vec<String>> {
    let named = format!("{program} ");
    let is_first = |before: &str| matches!(before.trim(), "" | "#");
    let mut found = Vec::new();
    for (at, _) in line.match_indices(&named) {
        let (before, rest) = (&line[..at], &line[at + named.len()..]);
        let is_quote = before.ends_with(['"', '\'']);
        let counts = BEFORE.iter().any(|mark| before.ends_with(mark));
        if is_quote && !in_quotes || !counts && !is_first(before) {
            continue;
        }
        // In quotes, up to the same; anywhere, not beyond a backtick.
        let opener = before
            .trim_end_matches("sudo ")
            .chars()
            .next_back()
            .filter(|c| "`\"'".contains(*c));
        let end = rest.find(|c| Some(c) == opener || c == '`');
        // `e3 = …` gives something that name, and a line is drawn from it in a picture.
        if rest
            .trim_start()
            .starts_with(|c: char| c.is_ascii() && c != '=')
            || rest.starts_with('…')
        {
            found.push(words(&rest[..end.unwrap_or(rest.len())]));
        }
    }
    found
}

/// The words of one command, as a shell parts them: up to what ends it, which is also the end of its line in a string, and the
/// wide gap before what is said of it.
fn words(text: &str) -> Vec<String> {
    let end = [text.find("\\n"), text.find("   ")]
        .into_iter()
        .flatten()
        .min();
    let text = &text[..end.unwrap_or(text.len())];
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    let redirects = |word: &str| word.starts_with('>') || word.starts_with("2>");
    let ends = |word: &String| ENDS.contains(&word.as_str()) || redirects(word);
    let words = words.into_iter().filter(|word| !word.is_empty());
    let mut kept: Vec<String> = words.take_while(|word| !ends(word)).collect();
    if let Some(last) = kept.last_mut() {
        let bare = last.trim_end_matches([',', ';', '.', ':', ')']).len();
        // `{…}` and `x...` are whole.
        if !last.ends_with("...") {
            last.truncate(bare);
        }
    }
    kept
}

/// Stands for something that the reader knows.
fn is_name(word: &str) -> bool {
    word.contains(['{', '}', '<', '[', '…', '$', '\\'])
        || word.ends_with("...")
        || (word.chars().any(char::is_uppercase) && !word.starts_with('-'))
}

fn judge(command: &Command, words: &[String]) -> Result<(), String> {
    let (mut command, mut words, mut places) = (command, words.iter(), 0);
    while let Some(word) = words.next() {
        if word == "--" {
            // What follows is another program's.
            return Ok(());
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once(['=', '[']) {
                Some((name, _)) => (name, true),
                None => (long, false),
            };
            let arg = command.get_arguments().find(|arg| is_long(arg, name));
            let arg = arg.ok_or_else(|| format!("there is no option --{name}"))?;
            skip_value(arg, given, &mut words);
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            let short: Vec<char> = short.chars().collect();
            let arg = command
                .get_arguments()
                .find(|arg| arg.get_short() == Some(short[0]));
            let arg = arg.ok_or_else(|| format!("there is no option -{}", short[0]))?;
            skip_value(arg, short.len() > 1, &mut words);
        } else if let Some(sub) = command.find_subcommand(word) {
            command = sub;
        } else if command.has_subcommands() {
            if !is_name(word) {
                return Err(format!("there is no command {word}"));
            }
            // Any of its commands: the rest is theirs.
            return Ok(());
        } else {
            places += 1;
            let many = command.get_positionals().any(|arg| {
                matches!(arg.get_action(), ArgAction::Append)
                    || arg.get_num_args().is_some_and(|n| n.max_values() > 1)
            });
            if places > command.get_positionals().count() && !many && !is_name(word) {
                return Err(format!("{word} has no place"));
            }
        }
    }
    Ok(())
}

fn is_long(arg: &Arg, name: &str) -> bool {
    let others = arg.get_all_aliases().unwrap_or_default();
    arg.get_long() == Some(name) || others.contains(&name)
}

/// The next word is the value, if there must be one.
fn skip_value<'a>(arg: &Arg, given: bool, words: &mut impl Iterator<Item = &'a String>) {
    let least = arg.get_num_args().map_or(1, |n| n.min_values());
    if arg.get_action().takes_values() && !given && least > 0 {
        words.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let show = Command::new("show")
            .arg(Arg::new("file"))
            .arg(
                Arg::new("key")
                    .long("key")
                    .short('k')
                    .action(ArgAction::Set),
            )
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue));
        let global = Arg::new("json")
            .long("json")
            .global(true)
            .action(ArgAction::SetTrue);
        let mut program = Command::new("e3")
            .arg(global)
            .subcommand(Command::new("key").subcommand(show));
        program.build();
        program
    }

    fn found(text: &str) -> Vec<String> {
        let lines = in_text(text, "e3", true).into_iter();
        lines.map(|(_, words)| words.join(" ")).collect()
    }

    #[test]
    fn commands_are_found_where_people_read_them() {
        for text in [
            "$ e3 key show",
            "anna$ e3 key show   # a comment",
            "Run `e3 key show`.",
            "`sudo e3 key show`",
            "    e3 key show | tail",
            "machine.succeed(\"e3 key show\")",
            "#   e3 key show",
            "e3 key show     a comment",
            "format!(\"Next:\\n  e3 key show\\n\")",
            "cd x && e3 key \\\n  show",
            "Next:\\n  e3 key show >/dev/null",
        ] {
            assert_eq!(found(text), ["key show"], "{text}");
        }
        for text in [
            "the command e3 is good, and so is re3 x",
            "e3   = build e3;",
            "e3 ──▶ hub",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
        let two = "`e3 key`, then `e3 key show 'a b'`";
        assert_eq!(found(two), ["key", "key show a b"]);
    }

    #[test]
    fn what_cannot_be_typed_is_told() {
        let judge = |text: &str| judge(&program(), &words(text));
        for good in [
            "key show",
            "key show FILE --json",
            "--json key show -k x --all y",
            "key NAME --whatever",
            "…",
            "key show -- --whatever",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for (bad, problem) in [
            ("keys", "there is no command keys"),
            ("key list", "there is no command list"),
            ("key show --fast", "there is no option --fast"),
            ("key show -x", "there is no option -x"),
            ("key show a b", "b has no place"),
            ("key --all", "there is no option --all"),
        ] {
            assert_eq!(judge(bad), Err(problem.to_owned()), "{bad}");
        }
    }
}

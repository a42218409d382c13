//! `tidegate evaluate`: JSON lines in, JSON lines out, in order.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
    num::NonZeroUsize,
    ops::AddAssign,
    panic, thread,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_core::{Context, ErrorCode, Evaluation, Reason, Ruleset, Timestamp, evaluate, evaluation::FlagValue};

/// How much of the input each thread works on at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// No line is longer: a bound on memory.
const MAX_LINE_BYTES: usize = 64 << 20;

/// How many lines were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// All.
    pub answered: u64,
    /// Those that are no question: answered with an error code.
    pub unreadable: u64,
}

impl AddAssign for Lines {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.unreadable += other.unreadable;
    }
}

/// Answers every line of `input` on `output`.
///
/// One thread answers what there is as soon as it is there, so a program may ask line by line; several wait for a
/// megabyte each.
///
/// # Errors
/// Those of reading and writing, and [`io::ErrorKind::InvalidData`] for a line of more than 64 MiB.
pub fn evaluate_lines(
    ruleset: &Ruleset,
    now: Timestamp,
    n_threads: NonZeroUsize,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> io::Result<Lines> {
    let mut blocks = Blocks::new(input, n_threads);
    let mut answers = vec![Vec::new(); n_threads.get()];
    let mut lines = Lines::default();
    while let Some(block) = blocks.next()? {
        let parts = split(block, n_threads);
        lines += match parts.as_slice() {
            [part] => answers.iter_mut().take(1).map(|answer| answer_lines(ruleset, now, part, answer)).sum(),
            parts => answer_in_parallel(ruleset, now, parts, &mut answers),
        };
        for answer in &mut answers {
            output.write_all(answer)?;
            answer.clear();
        }
        output.flush()?;
    }
    Ok(lines)
}

impl std::iter::Sum for Lines {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, lines| {
            sum += lines;
            sum
        })
    }
}

/// Reads whole lines, many at a time, into one buffer.
struct Blocks<'i> {
    input: &'i mut dyn Read,
    patience: Patience,
    buffer: Vec<u8>,
    /// The front of the buffer that was handed out; then what was read and not handed out.
    handed_out: usize,
    filled: usize,
}

/// When a block is large enough.
#[derive(PartialEq)]
enum Patience {
    /// As soon as it has a line.
    Line,
    /// When the buffer is full.
    Buffer,
}

impl<'i> Blocks<'i> {
    fn new(input: &'i mut dyn Read, n_threads: NonZeroUsize) -> Self {
        let patience = if n_threads.get() == 1 { Patience::Line } else { Patience::Buffer };
        let buffer = vec![0; BLOCK_BYTES.saturating_mul(n_threads.get())];
        Self { input, patience, buffer, handed_out: 0, filled: 0 }
    }

    /// The next whole lines; the last one of the input may lack its line break.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.copy_within(self.handed_out..self.filled, 0);
        self.filled -= self.handed_out;
        self.handed_out = 0;
        loop {
            if self.filled == self.buffer.len() {
                if self.handed_out > 0 {
                    break;
                }
                self.grow()?;
            }
            let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let n_read = match self.input.read(space) {
                Ok(n_read) => n_read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if n_read == 0 {
                self.handed_out = self.filled;
                break;
            }
            let line_break = space.iter().take(n_read).rposition(|&byte| byte == b'\n');
            if let Some(at) = line_break {
                self.handed_out = self.filled + at + 1;
            }
            self.filled += n_read;
            if self.handed_out > 0 && self.patience == Patience::Line {
                break;
            }
        }
        Ok(self.buffer.get(..self.handed_out).filter(|block| !block.is_empty()))
    }

    /// For a line that is longer than the buffer.
    fn grow(&mut self) -> io::Result<()> {
        if self.buffer.len() >= MAX_LINE_BYTES {
            let message = format!("a line is longer than {MAX_LINE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }
}

/// Cuts `block` into up to `n_parts` of much the same size, after line breaks.
fn split(mut block: &[u8], n_parts: NonZeroUsize) -> Vec<&[u8]> {
    let size = block.len().div_ceil(n_parts.get());
    let mut parts = Vec::with_capacity(n_parts.get());
    while !block.is_empty() {
        let line_break = block.iter().skip(size - 1).position(|&byte| byte == b'\n');
        let end = line_break.map_or(block.len(), |after_size| size + after_size);
        let (part, rest) = block.split_at(end);
        parts.push(part);
        block = rest;
    }
    parts
}

fn answer_in_parallel(ruleset: &Ruleset, now: Timestamp, parts: &[&[u8]], answers: &mut [Vec<u8>]) -> Lines {
    thread::scope(|scope| {
        let pairs = parts.iter().zip(answers);
        let threads: Vec<_> =
            pairs.map(|(part, answer)| scope.spawn(|| answer_lines(ruleset, now, part, answer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))).sum()
    })
}

fn answer_lines(ruleset: &Ruleset, now: Timestamp, block: &[u8], answers: &mut Vec<u8>) -> Lines {
    let mut lines = Lines::default();
    for line in block.strip_suffix(b"\n").unwrap_or(block).split(|&byte| byte == b'\n') {
        lines.answered += 1;
        match serde_json::from_slice::<Question>(line) {
            Ok(Question { flag, context }) => {
                let context = context.unwrap_or_default();
                Answer::of(&flag, evaluate(ruleset, &flag, &context, now)).write(answers);
            }
            Err(error) => {
                lines.unreadable += 1;
                refuse(line, &error, answers);
            }
        }
    }
    lines
}

/// Says what is wrong with a line: its context, or all of it.
fn refuse(line: &[u8], error: &serde_json::Error, answers: &mut Vec<u8>) {
    let flag = serde_json::from_slice::<Outline>(line).ok().map(|outline| outline.flag);
    let error_code = if flag.is_some() { ErrorCode::InvalidContext } else { ErrorCode::ParseError };
    let answer = Answer {
        flag: flag.as_deref(),
        value: None,
        variant: None,
        reason: Reason::Error,
        error_code: Some(error_code),
        error_message: Some(error.to_string()),
        bucket: None,
    };
    answer.write(answers);
}

/// A line of the input; whatever else it holds is left alone.
#[derive(Deserialize)]
struct Question<'l> {
    #[serde(borrow)]
    flag: Cow<'l, str>,
    /// Absent or null: nobody, with no attributes.
    context: Option<Context>,
}

/// A line whose context may be anything.
#[derive(Deserialize)]
struct Outline<'l> {
    #[serde(borrow)]
    flag: Cow<'l, str>,
    #[serde(borrow, rename = "context")]
    _context: Option<&'l RawValue>,
}

/// A line of the output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    /// Null where the line does not say.
    flag: Option<&'a str>,
    value: Option<&'a FlagValue>,
    variant: Option<&'a str>,
    reason: Reason,
    error_code: Option<ErrorCode>,
    /// Only where the line is no question.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    bucket: Option<u32>,
}

impl<'a> Answer<'a> {
    fn of(flag: &'a str, evaluation: Evaluation<'a>) -> Self {
        Self {
            flag: Some(flag),
            value: evaluation.value,
            variant: evaluation.variant,
            reason: evaluation.reason,
            error_code: evaluation.error,
            error_message: None,
            bucket: evaluation.bucket,
        }
    }

    fn write(&self, answers: &mut Vec<u8>) {
        if let Err(error) = serde_json::to_writer(&mut *answers, self) {
            unreachable!("a vector takes every byte, and an answer has string keys only: {error}");
        }
        answers.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_core::{FlagFile, compile};

    use super::*;

    fn answers(n_threads: usize, input: &mut dyn Read) -> (String, Lines) {
        let file: FlagFile = serde_json::from_value(json!({"flags": [{
            "key": "price", "kind": "number", "enabled": true, "salt": "s",
            "variants": [{"key": "low", "value": 9}, {"key": "high", "value": 9.5}],
            "default": {"distribution": {"weights": [
                {"variant": "low", "weight": 50_000}, {"variant": "high", "weight": 50_000}]}},
        }]}))
        .unwrap();
        let (ruleset, issues) = compile(&file);
        assert_eq!(issues, []);
        let mut output = Vec::new();
        let n_threads = NonZeroUsize::new(n_threads).unwrap();
        let lines = evaluate_lines(&ruleset, Timestamp(0), n_threads, input, &mut output).unwrap();
        (String::from_utf8(output).unwrap(), lines)
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(answers(1, &mut line.as_bytes()).0, format!("{expected}\n"));
    }

    #[test]
    fn every_line_is_answered() {
        check(
            r#"{"flag":"price","context":{"targetingKey":"user-1"},"id":7}"#,
            r#"{"flag":"price","value":9.5,"variant":"high","reason":"SPLIT","errorCode":null,"bucket":80641}"#,
        );
        check(
            r#"{"flag":"price"}"#,
            r#"{"flag":"price","value":null,"variant":null,"reason":"ERROR","errorCode":"TARGETING_KEY_MISSING","bucket":null}"#,
        );
        check(
            r#"{"flag":"pri\u0063es","context":null}"#,
            r#"{"flag":"prices","value":null,"variant":null,"reason":"ERROR","errorCode":"FLAG_NOT_FOUND","bucket":null}"#,
        );
    }

    #[test]
    fn no_lines_need_no_answers() {
        assert_eq!(answers(1, &mut &b""[..]), (String::new(), Lines::default()));
    }

    #[test]
    fn a_line_that_is_no_question_says_why() {
        check(
            r#"{"flag":"price","context":{"targetingKey":5}}"#,
            r#"{"flag":"price","value":null,"variant":null,"reason":"ERROR","errorCode":"INVALID_CONTEXT","errorMessage":"`targetingKey` must be a string at line 1 column 45","bucket":null}"#,
        );
        check(
            "\n",
            r#"{"flag":null,"value":null,"variant":null,"reason":"ERROR","errorCode":"PARSE_ERROR","errorMessage":"EOF while parsing a value at line 1 column 0","bucket":null}"#,
        );
        check(
            r#"{"context":{}}"#,
            r#"{"flag":null,"value":null,"variant":null,"reason":"ERROR","errorCode":"PARSE_ERROR","errorMessage":"missing field `flag` at line 1 column 14","bucket":null}"#,
        );
    }

    /// Gives out its text in pieces of a few bytes, as a slow pipe does.
    struct Dripping<'t>(&'t [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            self.0 = later;
            Ok(now.len())
        }
    }

    #[test]
    fn answers_come_in_order_however_the_input_arrives() {
        let question = |unit| match unit % 10 {
            0 => "no question\n".to_owned(),
            _ => format!("{{\"flag\":\"price\",\"context\":{{\"targetingKey\":\"{unit}\"}}}}\n"),
        };
        let input: String = (0..2_000).map(question).collect();
        let (expected, lines) = answers(1, &mut input.as_bytes());
        assert_eq!(lines, Lines { answered: 2_000, unreadable: 200 });
        assert_eq!(expected.lines().count(), 2_000);
        for (n_threads, step) in [(1, 7), (1, 4_096), (2, 1 << 16), (3, usize::MAX), (8, usize::MAX)] {
            assert!(answers(n_threads, &mut Dripping(input.as_bytes(), step)) == (expected.clone(), lines));
        }
        let without_break = input.trim_end();
        assert!(answers(2, &mut without_break.as_bytes()) == (expected, lines));
    }

    #[test]
    fn a_line_may_be_longer_than_a_block() {
        let line = format!("{{\"flag\":\"{}\"}}\n", "x".repeat(3 * BLOCK_BYTES));
        let (answer, lines) = answers(1, &mut line.as_bytes());
        assert_eq!(lines.answered, 1);
        assert!(answer.contains("FLAG_NOT_FOUND"));
    }

    #[test]
    fn parts_end_where_lines_end() {
        let parts = |text: &'static str, n| split(text.as_bytes(), NonZeroUsize::new(n).unwrap());
        assert_eq!(parts("a\nb\nc\n", 3), [b"a\n", b"b\n", b"c\n"]);
        assert_eq!(parts("aaaaaaaaaa\nb\nc\n", 3), [&b"aaaaaaaaaa\n"[..], b"b\nc\n"]);
        assert_eq!(parts("abc", 2), [b"abc"]);
        assert!(parts("", 2).is_empty());
    }
}

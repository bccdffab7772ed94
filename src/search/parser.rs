//! Tokens → comparisons. Knows the syntax of a comparison, not which keys or operators exist.
//!
//! Tokens are folded into larger and larger nodes, one rule after the other, as in MLflow's SQL parser:
//! `metrics . a` becomes an identifier, `a - b` an operation, `x > 1` a comparison, `1 foo` an aliased
//! number. The order of the rules decides what a malformed filter is refused for, and error messages quote
//! the nodes. There is no recursion: a parenthesis is one node and its content is only text.

use super::lexer::{self, Kind, Token};

/// Limits on the nesting of parentheses and on the number of tokens. Upstream: the limits of `sqlparse`.
const MAX_DEPTH: usize = 100;
const MAX_TOKENS: usize = 10_000;

/// A syntax error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyntaxError {
    /// Too long or nested too deeply.
    TooLarge,
    /// Nothing but whitespace.
    Empty,
    /// More than one statement.
    Several,
}

/// A filter clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clause<'a> {
    Comparison(Comparison<'a>),
    And,
    /// Neither; text for the error message.
    Other(&'a str),
}

impl Clause<'_> {
    const fn is_other(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}

/// `left operator right`, or `left IS [NOT] NULL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    /// All of it; of a joined one only its left side.
    pub(super) text: &'a str,
    pub(super) left: Operand<'a>,
    /// As written, but `NOT IN`, `IS NULL` and `IS NOT NULL` normalised.
    pub(super) operator: &'a str,
    /// `None` only for `IS NULL` and `IS NOT NULL`.
    pub(super) right: Option<Operand<'a>>,
    /// How many comments follow it; no filter may have any.
    pub(super) comments: usize,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operand<'a> {
    pub(super) shape: Shape,
    pub(super) text: &'a str,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Token(Kind),
    Comment,
    Brackets,
    Parenthesis,
    Case,
    Function,
    Where,
    Identifier,
    TypedLiteral,
    Operation,
    Comparison,
    Assignment,
    List,
}

use Shape::{Comment, Function, Identifier, Operation, Parenthesis, TypedLiteral};

/// Which nodes are joined into a comparison, beside those that the rules fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// None, and `AND` is no keyword either.
    Nothing,
    /// `IN`, `NOT IN` and `IS [NOT] NULL`.
    Lists,
    /// Those, and `timestamp` before an integer: a name, though also the name of a type.
    ListsAndTimestamps,
}

/// Splits `text` into its clauses.
pub(super) fn parse(text: &str, joining: Joining) -> Result<Vec<Clause<'_>>, SyntaxError> {
    let nodes = nodes(text)?;
    Ok(Joiner { text, nodes: &nodes, joining }.clauses())
}

/// Returns the one node that `text` consists of, for `order_by`; `None` if there are more.
pub(super) fn single(text: &str) -> Result<Option<Shape>, SyntaxError> {
    let nodes = nodes(text)?;
    Ok(match nodes.as_slice() {
        [node] if node.start == 0 && node.end == text.len() => Some(node.shape),
        _ => None,
    })
}

/// A node is a span of the text.
#[derive(Debug, Clone)]
struct Node {
    shape: Shape,
    start: usize,
    end: usize,
    /// Only of a comparison.
    parts: Option<Box<Parts>>,
}

#[derive(Debug, Clone)]
struct Parts {
    left: Node,
    operator: Node,
    right: Node,
    comments: usize,
}

impl Node {
    fn is(&self, shape: Shape) -> bool {
        self.shape == shape
    }

    fn is_token(&self, kind: Kind) -> bool {
        self.shape == Shape::Token(kind)
    }

    fn is_space(&self) -> bool {
        matches!(self.shape, Shape::Token(Kind::Space | Kind::Newline))
    }

    fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }

    fn is_word(&self, text: &str, kind: Kind, words: &[&str]) -> bool {
        self.is_token(kind) && words.iter().any(|word| self.text(text).eq_ignore_ascii_case(word))
    }

    fn is_mark(&self, text: &str, mark: &str) -> bool {
        self.is_token(Kind::Punctuation) && self.text(text) == mark
    }

    fn is_keyword(&self) -> bool {
        matches!(self.shape, Shape::Token(Kind::Keyword | Kind::Statement | Kind::Order))
    }

    /// Literals and names: operands of an operator.
    fn is_scalar(&self) -> bool {
        use Kind::{Float, Integer, Name, Placeholder, Symbol, Text};
        matches!(self.shape, Shape::Token(Float | Integer | Text | Symbol | Name | Placeholder))
    }

    /// Operands of a comparison operator.
    fn is_operand(&self, text: &str) -> bool {
        self.is_scalar()
            || matches!(self.shape, Parenthesis | Function | Identifier | Operation | TypedLiteral)
            || self.is_word(text, Kind::Keyword, &["NULL"])
    }

    /// Whether the node was folded out of several tokens (names are, too).
    fn is_group(&self) -> bool {
        !matches!(self.shape, Shape::Token(_))
    }
}

fn nodes(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let tokens = lexer::tokenize(text);
    check_statements(text, &tokens)?;
    if tokens.len() > MAX_TOKENS {
        return Err(SyntaxError::TooLarge);
    }
    let nodes = tokens.iter().map(|token| Node {
        shape: Shape::Token(token.kind),
        start: token.start,
        end: token.end,
        parts: None,
    });
    let nodes = fold_comments(nodes.collect());
    let nodes = fold_pairs(text, nodes, Shape::Brackets, &pair(Kind::Punctuation, "[", "]"))?;
    let nodes = fold_pairs(text, nodes, Parenthesis, &pair(Kind::Punctuation, "(", ")"))?;
    let nodes = fold_pairs(text, nodes, Shape::Case, &pair(Kind::Keyword, "CASE", "END"))?;
    let nodes = fold_adjacent(nodes, Function, Again::No, |node, next| {
        matches!(node.shape, Shape::Token(Kind::Name | Kind::Placeholder | Kind::Builtin))
            && next.is(Parenthesis)
    });
    let nodes = fold_where(text, nodes);
    let nodes = fold_names(text, nodes);
    Ok(fold_expressions(text, nodes))
}

/// Names with members, indices and directions.
fn fold_names(text: &str, nodes: Vec<Node>) -> Vec<Node> {
    let is_name = |node: &Node| node.is_token(Kind::Name) || node.is_token(Kind::Symbol);
    let nodes = Fold {
        into: Identifier,
        is_middle: |node: &Node| {
            node.is_mark(text, ".") || node.is_word(text, Kind::Operator, &["->", "->>"])
        },
        is_left: |node: &Node| is_name(node) || node.is(Shape::Brackets) || node.is(Identifier),
        right: |node: Option<&Node>| match node {
            Some(node) if is_name(node) || node.is(Shape::Brackets) || node.is(Function) => Right::Taken,
            Some(node) if node.is_token(Kind::Wildcard) || node.is_token(Kind::Text) => Right::Taken,
            _ => Right::Left,
        },
    }
    .run(nodes);
    let mut nodes = fold_adjacent(nodes, Identifier, Again::Yes, |node, next| {
        (is_name(node) || matches!(node.shape, Shape::Brackets | Identifier | Function))
            && next.is(Shape::Brackets)
    });
    for node in &mut nodes {
        if is_name(node) {
            node.shape = Identifier;
        }
    }
    let nodes = fold_adjacent(nodes, Identifier, Again::Yes, |node, next| {
        (node.is(Identifier) || is_number(node)) && next.is_token(Kind::Order)
    });
    Fold {
        into: Identifier,
        is_middle: |node: &Node| node.is_mark(text, "::"),
        is_left: |_: &Node| true,
        right: |node: Option<&Node>| if node.is_some() { Right::Taken } else { Right::Refused },
    }
    .run(nodes)
}

/// Literals, operations, comparisons, aliases and lists.
fn fold_expressions(text: &str, nodes: Vec<Node>) -> Vec<Node> {
    let opening = nodes.iter().take(1).map(|node| node.start).next();
    let nodes = fold_adjacent(nodes, TypedLiteral, Again::No, |node, next| {
        // At the very beginning a type name is only a word.
        let is_type = node.is_token(Kind::Builtin) || node.is_word(text, Kind::Keyword, &["TIMESTAMP"]);
        is_type && next.is_token(Kind::Text) && opening != Some(node.start)
    });
    let nodes = fold_adjacent(nodes, TypedLiteral, Again::Yes, |node, next| {
        const UNITS: [&str; 6] = ["DAY", "HOUR", "MINUTE", "MONTH", "SECOND", "YEAR"];
        node.is(TypedLiteral) && next.is_word(text, Kind::Keyword, &UNITS)
    });
    let can_operate = |node: &Node| {
        const NOW: [&str; 3] = ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"];
        node.is_scalar()
            || matches!(
                node.shape,
                Shape::Brackets | Parenthesis | Function | Identifier | Operation | TypedLiteral
            )
            || node.is_word(text, Kind::Keyword, &NOW)
    };
    let nodes = Fold {
        into: Operation,
        is_middle: |node: &Node| node.is_token(Kind::Operator) || node.is_token(Kind::Wildcard),
        is_left: can_operate,
        right: |node: Option<&Node>| taken_if(node.is_some_and(can_operate)),
    }
    .run(nodes);
    let nodes = Fold {
        into: Shape::Comparison,
        is_middle: |node: &Node| node.is_token(Kind::Comparison),
        is_left: |node: &Node| node.is_operand(text),
        right: |node: Option<&Node>| taken_if(node.is_some_and(|node| node.is_operand(text))),
    }
    .run(nodes);
    let nodes = Fold {
        into: Identifier,
        is_middle: |node: &Node| node.is_word(text, Kind::Keyword, &["AS"]),
        is_left: |node: &Node| node.is_word(text, Kind::Keyword, &["NULL"]) || !node.is_keyword(),
        right: |node: Option<&Node>| taken_if(node.is_some_and(|node| !node.is_token(Kind::Statement))),
    }
    .run(nodes);
    let nodes = fold_adjacent(nodes, Identifier, Again::No, |node, next| {
        let named = [Parenthesis, Function, Shape::Case, Identifier, Operation, Shape::Comparison];
        (named.contains(&node.shape) || is_number(node)) && next.is(Identifier)
    });
    let nodes = Fold {
        into: Shape::Assignment,
        is_middle: |node: &Node| node.is_token(Kind::Assignment),
        is_left: |node: &Node| !node.is_token(Kind::Keyword),
        right: |node: Option<&Node>| taken_if(node.is_some_and(|node| !node.is_token(Kind::Keyword))),
    }
    .run(nodes);
    let nodes = append_comments(nodes);
    let can_list = |node: &Node| {
        node.is_scalar()
            || matches!(node.shape, Shape::Token(Kind::Keyword | Kind::Wildcard))
            || [Function, Shape::Case, Identifier, Shape::Comparison, Shape::List, Operation]
                .contains(&node.shape)
    };
    Fold {
        into: Shape::List,
        is_middle: |node: &Node| node.is_mark(text, ","),
        is_left: can_list,
        right: |node: Option<&Node>| taken_if(node.is_some_and(can_list)),
    }
    .run(nodes)
}

fn is_number(node: &Node) -> bool {
    matches!(node.shape, Shape::Token(Kind::Float | Kind::Integer | Kind::Hexadecimal))
}

/// Refuses a text without a statement and one with a second statement after a semicolon.
fn check_statements(text: &str, tokens: &[Token]) -> Result<(), SyntaxError> {
    let is_blank = |token: &Token| matches!(token.kind, Kind::Space | Kind::Newline);
    if tokens.iter().all(is_blank) {
        return Err(SyntaxError::Empty);
    }
    let mut depth = 0_i64;
    let mut ended = false;
    for (index, token) in tokens.iter().enumerate() {
        if ended && !matches!(token.kind, Kind::Space | Kind::LineComment) {
            let rest = tokens.get(index..).unwrap_or_default();
            return if rest.iter().all(is_blank) { Ok(()) } else { Err(SyntaxError::Several) };
        }
        let word = &text[token.start..token.end];
        match (token.kind, word) {
            (Kind::Punctuation, "(") => depth += 1,
            (Kind::Punctuation, ")") => depth -= 1,
            (Kind::Punctuation, ";") if depth <= 0 => ended = true,
            (Kind::Keyword, "GO") => ended = true,
            _ => {}
        }
    }
    Ok(())
}

/// Folds runs of comments, and drops whitespace, which later rules ignore. A trailing comment stays a bare
/// token.
fn fold_comments(nodes: Vec<Node>) -> Vec<Node> {
    let is_comment = |node: &Node| matches!(node.shape, Shape::Token(Kind::LineComment | Kind::BlockComment));
    let last = nodes.iter().rposition(|node| !is_comment(node) && !node.is_token(Kind::Newline));
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut open = false;
    for (index, mut node) in nodes.into_iter().enumerate() {
        if is_comment(&node) && last.is_some_and(|last| index < last) {
            if let (true, Some(run)) = (open, out.last_mut()) {
                run.end = node.end;
                continue;
            }
            node.shape = Comment;
            open = true;
        } else if !node.is_token(Kind::Newline) {
            open = false;
        } else if let (true, Some(run)) = (open, out.last_mut()) {
            run.end = node.end;
        }
        if !node.is_space() {
            out.push(node);
        }
    }
    out
}

/// The opening and closing words of a pair, and their token kind.
struct Pair {
    kind: Kind,
    open: &'static str,
    close: &'static str,
}

fn pair(kind: Kind, open: &'static str, close: &'static str) -> Pair {
    Pair { kind, open, close }
}

fn fold_pairs(text: &str, nodes: Vec<Node>, into: Shape, pair: &Pair) -> Result<Vec<Node>, SyntaxError> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    // Start of each open pair, and depth of the pairs nested in it.
    let mut opens: Vec<(usize, usize)> = Vec::new();
    for node in nodes {
        if node.is_word(text, pair.kind, &[pair.open]) {
            opens.push((out.len(), 0));
        } else if node.is_word(text, pair.kind, &[pair.close])
            && let Some((from, inside)) = opens.pop()
        {
            if inside == MAX_DEPTH {
                return Err(SyntaxError::TooLarge);
            }
            if let Some((_, depth)) = opens.last_mut() {
                *depth = (*depth).max(inside + 1);
            }
            merge(&mut out, from, into, node.end);
            continue;
        }
        out.push(node);
    }
    Ok(out)
}

/// Replaces the nodes from `from` by one that ends at `end`.
fn merge(nodes: &mut Vec<Node>, from: usize, into: Shape, end: usize) {
    nodes.truncate(from + 1);
    if let Some(node) = nodes.last_mut() {
        node.shape = into;
        node.end = end;
        node.parts = None;
    }
}

/// Whether a folded node may also fold in its next neighbour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// Folds two neighbours into one node.
fn fold_adjacent(
    nodes: Vec<Node>,
    into: Shape,
    again: Again,
    fits: impl Fn(&Node, &Node) -> bool,
) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut folded = false;
    for node in nodes {
        if !folded && let Some(before) = out.last_mut().filter(|before| fits(before, &node)) {
            before.shape = into;
            before.end = node.end;
            before.parts = None;
            folded = again == Again::No;
        } else {
            folded = false;
            out.push(node);
        }
    }
    out
}

/// Folds everything from `WHERE` up to the next clause of a statement.
fn fold_where(text: &str, nodes: Vec<Node>) -> Vec<Node> {
    const ENDS: [&str; 10] = [
        "ORDER BY",
        "GROUP BY",
        "LIMIT",
        "UNION",
        "UNION ALL",
        "EXCEPT",
        "INTERSECT",
        "HAVING",
        "RETURNING",
        "INTO",
    ];
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut open = false;
    for mut node in nodes {
        if open && !node.is_word(text, Kind::Keyword, &ENDS) {
            if let Some(clause) = out.last_mut() {
                clause.end = node.end;
            }
            continue;
        }
        open = node.is_word(text, Kind::Keyword, &["WHERE"]);
        if open {
            node.shape = Shape::Where;
        }
        out.push(node);
    }
    if let Some(clause) = out.last_mut().filter(|_| open) {
        // Unterminated, so trailing space belongs to it.
        clause.end = text.len();
    }
    out
}

/// A comment after a folded node belongs to it.
fn append_comments(nodes: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is(Comment)
            && let Some(before) = out.last_mut().filter(|before| before.is_group())
        {
            before.end = node.end;
            if let Some(parts) = &mut before.parts {
                parts.comments += 1;
            }
        } else {
            out.push(node);
        }
    }
    out
}

/// What happens to the node after an operator.
enum Right {
    /// It is part of the new node.
    Taken,
    /// The new node ends with the operator.
    Left,
    /// There is no new node.
    Refused,
}

fn taken_if(fits: bool) -> Right {
    if fits { Right::Taken } else { Right::Refused }
}

/// The rule that folds `left middle right` into one node.
struct Fold<M, L, R> {
    into: Shape,
    is_middle: M,
    is_left: L,
    right: R,
}

impl<M, L, R> Fold<M, L, R>
where
    M: Fn(&Node) -> bool,
    L: Fn(&Node) -> bool,
    R: Fn(Option<&Node>) -> Right,
{
    fn run(&self, nodes: Vec<Node>) -> Vec<Node> {
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        // Whether the last node fits on the left side. For a folded node its right part is checked, so that
        // `a = b = c` folds twice.
        let mut left_fits = false;
        let mut nodes = nodes.into_iter().peekable();
        while let Some(node) = nodes.next() {
            if !left_fits || !(self.is_middle)(&node) {
                left_fits = (self.is_left)(&node);
                out.push(node);
                continue;
            }
            let right = match (self.right)(nodes.peek()) {
                Right::Refused => {
                    left_fits = (self.is_left)(&node);
                    out.push(node);
                    continue;
                }
                Right::Left => None,
                Right::Taken => nodes.next(),
            };
            let Some(left) = out.pop() else { continue };
            out.push(self.folded(&left, node, right, &mut left_fits));
        }
        out
    }

    fn folded(&self, left: &Node, middle: Node, right: Option<Node>, left_fits: &mut bool) -> Node {
        let start = left.start;
        let Some(right) = right else {
            let node = Node { shape: self.into, start, end: middle.end, parts: None };
            *left_fits = (self.is_left)(&node);
            return node;
        };
        *left_fits = (self.is_left)(&right);
        let end = right.end;
        let parts = (self.into == Shape::Comparison).then(|| {
            // The parts of a side are never read.
            let left = Node { parts: None, ..*left };
            Box::new(Parts { left, operator: middle, right, comments: 0 })
        });
        Node { shape: self.into, start, end, parts }
    }
}

/// Parses the folded nodes into clauses, joining some neighbours.
struct Joiner<'a, 'n> {
    text: &'a str,
    nodes: &'n [Node],
    joining: Joining,
}

impl<'a> Joiner<'a, '_> {
    fn clauses(&self) -> Vec<Clause<'a>> {
        let mut clauses = Vec::new();
        let mut rest = self.nodes;
        while let Some(first) = rest.first() {
            let (clause, taken) = match rest {
                _ if self.joining == Joining::Nothing => (None, rest.len()),
                [_, _] | [_] => (None, rest.len()),
                [_, second, third, ..] if self.is_timestamp(first) => (self.timed(first, second, third), 3),
                _ if !first.is(Identifier) => (None, 1),
                _ => self.joined(rest),
            };
            let (now, later) = rest.split_at(taken.min(rest.len()));
            match clause {
                Some(comparison) => clauses.push(Clause::Comparison(comparison)),
                None => clauses.extend(now.iter().map(|node| self.clause(node))),
            }
            if self.is_timestamp(first) && taken == 3 && clauses.last().is_some_and(Clause::is_other) {
                // Stock names it again, after the other two.
                clauses.push(self.clause(first));
            }
            rest = later;
        }
        clauses
    }

    fn is_timestamp(&self, node: &Node) -> bool {
        self.joining == Joining::ListsAndTimestamps
            && node.is_token(Kind::Builtin)
            && node.text(self.text) == "timestamp"
    }

    /// Returns the comparison of a timestamp with an integer.
    fn timed(&self, left: &Node, operator: &Node, right: &Node) -> Option<Comparison<'a>> {
        let operator_text = operator.text(self.text);
        let is_known = ["=", "!=", "<", "<=", ">", ">="].contains(&operator_text);
        let fits = operator.is_token(Kind::Comparison) && is_known && right.is_token(Kind::Integer);
        fits.then(|| self.comparison(left, operator_text, Some(right)))
    }

    /// Returns the comparison of the first nodes, and how many nodes were read: an identifier that begins none
    /// consumes its three successors.
    fn joined(&self, nodes: &[Node]) -> (Option<Comparison<'a>>, usize) {
        let word = |node: &Node, word: &str| node.is_word(self.text, Kind::Keyword, &[word]);
        let [left, second, third, after @ ..] = nodes else { return (None, nodes.len()) };
        if word(second, "IN") && third.is(Parenthesis) {
            let operator = second.text(self.text);
            return (Some(self.comparison(left, operator, Some(third))), 3);
        }
        if word(second, "IS") && word(third, "NULL") {
            return (Some(self.comparison(left, "IS NULL", None)), 3);
        }
        if word(second, "IS") && word(third, "NOT NULL") {
            return (Some(self.comparison(left, "IS NOT NULL", None)), 3);
        }
        match after.first() {
            Some(fourth) if word(second, "NOT") && word(third, "IN") && fourth.is(Parenthesis) => {
                (Some(self.comparison(left, "NOT IN", Some(fourth))), 4)
            }
            _ => (None, 4),
        }
    }

    fn clause(&self, node: &Node) -> Clause<'a> {
        match &node.parts {
            Some(parts) => Clause::Comparison(Comparison {
                text: node.text(self.text),
                left: self.operand(&parts.left),
                operator: parts.operator.text(self.text),
                right: Some(self.operand(&parts.right)),
                comments: parts.comments,
            }),
            None if self.joining != Joining::Nothing && node.is_word(self.text, Kind::Keyword, &["AND"]) => {
                Clause::And
            }
            None => Clause::Other(node.text(self.text)),
        }
    }

    fn comparison(&self, left: &Node, operator: &'a str, right: Option<&Node>) -> Comparison<'a> {
        let right = right.map(|node| self.operand(node));
        Comparison { text: left.text(self.text), left: self.operand(left), operator, right, comments: 0 }
    }

    fn operand(&self, node: &Node) -> Operand<'a> {
        Operand { shape: node.shape, text: node.text(self.text) }
    }
}

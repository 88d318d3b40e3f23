//! What an answer has to look like.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

/// The most problems that a refusal names.
const MAX_PROBLEMS: usize = 8;
/// The longest problem, in bytes: it may quote what somebody sent.
const MAX_PROBLEM_BYTES: usize = 512;

/// Whether the node's own type can be read of an answer; if not, why.
pub(crate) type Reads = fn(&Value) -> Result<(), String>;

/// A question's JSON Schema, compiled once, and the type that the node reads.
pub(crate) struct Form {
    validator: Validator,
    reads: Reads,
}

impl Form {
    /// Compiles `schema`. It refers to nothing outside itself: nothing is fetched.
    ///
    /// # Errors
    /// Why it is no JSON Schema.
    pub(crate) fn new(schema: &Value, reads: Reads) -> Result<Self, String> {
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            // Without backtracking no answer makes a pattern take long.
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|error| named(&error))?;
        Ok(Self { validator, reads })
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// What does not fit, each with the field's name, separated by semicolons.
    pub(crate) fn check(&self, answer: &Value) -> Result<(), String> {
        let mut problems: Vec<String> =
            self.validator.iter_errors(answer).take(MAX_PROBLEMS + 1).map(|error| named(&error)).collect();
        if problems.len() > MAX_PROBLEMS {
            problems.truncate(MAX_PROBLEMS);
            problems.push("and more".into());
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        // The user's type may be stricter than the schema that it gave, and its code may panic.
        let read = catch_unwind(AssertUnwindSafe(|| (self.reads)(answer)));
        read.unwrap_or_else(|_| Err("the node's type cannot be read of it".into())).map_err(cut)
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}

/// A problem with the field where it is: `` `edits/0/title` is missing ``.
fn named(error: &ValidationError<'_>) -> String {
    let at = error.instance_path().to_string();
    let inner = |name: &str| format!("{at}/{name}");
    let own = match error.kind() {
        ValidationErrorKind::Required { property } => {
            Some((inner(property.as_str().unwrap_or_default()), "is missing".into()))
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.first().map(|first| (inner(first), "is not known".into()))
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            choices(context).map(|choices| (at.clone(), format!("has to be one of {choices}")))
        }
        _ => None,
    };
    let name = |path: &str| match path.trim_start_matches('/') {
        "" => "answer".into(),
        field => format!("`{field}`"),
    };
    cut(match own {
        Some((path, fact)) => format!("{} {fact}", name(&path)),
        None => {
            let field = name(&at);
            let told = error.masked_with(field.clone()).to_string();
            if told.contains(&field) { told } else { format!("{field}: {told}") }
        }
    })
}

/// The values that are legal, where each alternative is just one of them: an enum whose variants are documented.
fn choices(alternatives: &[Vec<ValidationError<'static>>]) -> Option<String> {
    let mut choices = Vec::new();
    for alternative in alternatives {
        let known = alternative.iter().find_map(|error| match error.kind() {
            ValidationErrorKind::Constant { expected_value } => Some(expected_value.to_string()),
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array()?.iter().map(Value::to_string);
                Some(options.collect::<Vec<_>>().join(", "))
            }
            _ => None,
        });
        choices.push(known?);
    }
    Some(choices.join(", ")).filter(|choices| !choices.is_empty())
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_PROBLEM_BYTES {
        text.truncate(text.floor_char_boundary(MAX_PROBLEM_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(schema: &Value, answer: &Value) -> String {
        Form::new(schema, |_| Ok(())).unwrap().check(answer).unwrap_err()
    }

    #[test]
    fn a_problem_names_the_field_and_what_is_legal() {
        let schema = json!({
            "type": "object",
            "properties": {
                "verdict": {"oneOf": [{"const": "publish"}, {"const": "revise"}]},
                "edits": {"type": "array", "items": {"type": "object", "required": ["title"]}},
                "stars": {"type": "integer", "maximum": 5},
                "mail": {"type": "string", "format": "email"},
            },
            "required": ["verdict"],
            "additionalProperties": false,
        });
        for (answer, expected) in [
            (json!({}), "`verdict` is missing"),
            (json!({"verdict": "burn"}), r#"`verdict` has to be one of "publish", "revise""#),
            (json!({"verdict": "publish", "edits": [{}]}), "`edits/0/title` is missing"),
            (json!({"verdict": "publish", "verdikt": 1}), "`verdikt` is not known"),
            (json!({"verdict": "publish", "stars": 6}), "`stars` is greater than the maximum of 5"),
            (json!({"verdict": "publish", "mail": "x"}), r#"`mail` is not a "email""#),
            (json!("publish"), r#"answer is not of type "object""#),
        ] {
            assert_eq!(problem(&schema, &answer), expected, "{answer}");
        }
    }

    #[test]
    fn many_problems_and_long_ones_are_cut() {
        let schema = json!({"items": {"type": "integer"}});
        let problems = problem(&schema, &json!(vec!["x"; 1_000]));
        assert_eq!(problems.matches("is not of type").count(), MAX_PROBLEMS, "{problems}");
        assert!(problems.ends_with("; and more"), "{problems}");
        let schema = json!({"additionalProperties": false});
        let problems = problem(&schema, &json!({"x".repeat(100_000): 1}));
        assert!(problems.len() <= MAX_PROBLEM_BYTES + 3, "{}", problems.len());
    }

    #[test]
    fn a_schema_that_is_none_or_lies_elsewhere_is_refused() {
        let refused = |schema: Value| Form::new(&schema, |_| Ok(())).unwrap_err();
        assert!(
            refused(json!({"type": "strange"})).contains("strange")
                || !refused(json!({"type": 7})).is_empty()
        );
        assert!(!refused(json!({"$ref": "https://example.org/schema.json"})).is_empty());
        assert!(!refused(json!({"type": "string", "pattern": "("})).is_empty());
    }

    #[test]
    fn a_type_that_is_stricter_than_its_schema_or_panics_is_told() {
        let form = Form::new(&json!({}), |_| Err("missing field `a`".into())).unwrap();
        assert_eq!(form.check(&json!(1)).unwrap_err(), "missing field `a`");
        let form = Form::new(&json!({}), |_| panic!("on purpose")).unwrap();
        assert_eq!(form.check(&json!(1)).unwrap_err(), "the node's type cannot be read of it");
    }
}

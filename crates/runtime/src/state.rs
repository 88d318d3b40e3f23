//! The typed state of a workflow.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::reduce::Reducer;

/// What the nodes of a workflow read and change.
///
/// `#[derive(State)]` writes this; by hand it is as much as it looks.
pub trait State: Serialize + Clone + Send + Sync + 'static {
    /// What a node changes: a value for some fields, nothing for the others.
    type Update: StateUpdate<State = Self>;

    /// Makes the first state of a run of its input.
    ///
    /// # Errors
    /// Names the field that is missing, unknown or of the wrong shape.
    fn from_input(input: Value) -> Result<Self, InputError>;

    /// Changes the fields that `update` has a value for, each by its reducer.
    fn apply(&mut self, update: Self::Update);

    /// The JSON Schema (2020-12) of the input.
    fn input_schema() -> Value;

    /// The reducer of a field, by which branches that run at the same time may change it together. Default
    /// [`Reducer::Replace`] for all: two branches that change one field are an error.
    fn reducer(_field: &str) -> Reducer {
        Reducer::Replace
    }

    /// The JSON Schema (2020-12) of the state as JSON, which a completed run has for its result. Default any object.
    fn schema() -> Value {
        serde_json::json!({"$schema": DIALECT, "type": "object"})
    }
}

/// The version of JSON Schema that is written here.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A change to a [`State`]. As JSON it holds the changed fields only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no update of a workflow's state",
    note = "return the `…Update` that `#[derive(State)]` made, a `Goto` with one, or `()`"
)]
pub trait StateUpdate: Clone + Default + Serialize + Send + Sync + 'static {
    /// The state that it changes.
    type State: State<Update = Self>;
}

/// Why an input is not a workflow's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The input is not an object.
    #[error("input must be a JSON object, not {found}")]
    NotAnObject {
        /// The kind of value that was found.
        found: &'static str,
    },
    /// A required field is missing.
    #[error("field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has the wrong shape.
    #[error("field `{field}`: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A field is not known.
    #[error("field `{field}` is not known; fields: {known}")]
    Unknown {
        /// The field.
        field: String,
        /// The fields there are, separated by commas.
        known: String,
    },
}

/// Takes the fields of an input one by one.
#[derive(Debug)]
pub struct InputReader {
    fields: Map<String, Value>,
}

impl InputReader {
    /// Begins with `input`; `null` is an empty object.
    ///
    /// # Errors
    /// [`InputError::NotAnObject`].
    pub fn new(input: Value) -> Result<Self, InputError> {
        let found = match input {
            Value::Object(fields) => return Ok(Self { fields }),
            Value::Null => return Ok(Self { fields: Map::new() }),
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
        };
        Err(InputError::NotAnObject { found })
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// [`InputError::Missing`], [`InputError::Invalid`].
    pub fn required<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, InputError> {
        self.optional(field)?.ok_or(InputError::Missing { field })
    }

    /// Takes a field that may be missing.
    ///
    /// # Errors
    /// [`InputError::Invalid`].
    pub fn optional<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<Option<T>, InputError> {
        let Some(value) = self.fields.remove(field) else { return Ok(None) };
        let read = serde_json::from_value(value);
        read.map(Some).map_err(|error| InputError::Invalid { field, reason: error.to_string() })
    }

    /// Checks that no field is left over; `known` are all there may be.
    ///
    /// # Errors
    /// [`InputError::Unknown`].
    pub fn finish(self, known: &[&'static str]) -> Result<(), InputError> {
        match self.fields.into_iter().next() {
            Some((field, _)) => Err(InputError::Unknown { field, known: known.join(", ") }),
            None => Ok(()),
        }
    }
}

/// Writes the JSON Schema of an input, or of a state, field by field.
pub struct SchemaBuilder {
    generator: schemars::SchemaGenerator,
    title: &'static str,
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl SchemaBuilder {
    /// Begins the schema of the input of the state `title`.
    pub fn new(title: &'static str) -> Self {
        Self::with(title, schemars::generate::SchemaSettings::draft2020_12())
    }

    /// Begins the schema of the state `title` as it is written.
    pub fn of_state(title: &'static str) -> Self {
        Self::with(title, schemars::generate::SchemaSettings::draft2020_12().for_serialize())
    }

    fn with(title: &'static str, settings: schemars::generate::SchemaSettings) -> Self {
        Self { generator: settings.into_generator(), title, properties: Map::new(), required: Vec::new() }
    }

    /// Adds a field of the type `T`, with what its author says of it.
    #[must_use]
    pub fn field<T: schemars::JsonSchema>(mut self, name: &str, required: bool, doc: Option<&str>) -> Self {
        let mut schema = self.generator.subschema_for::<T>().to_value();
        if let (Some(doc), Value::Object(schema)) = (doc, &mut schema) {
            schema.insert("description".into(), doc.into());
        }
        self.properties.insert(name.into(), schema);
        if required {
            self.required.push(name.into());
        }
        self
    }

    /// The schema.
    pub fn finish(mut self) -> Value {
        let mut schema = serde_json::json!({
            "$schema": DIALECT,
            "title": self.title,
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        });
        let definitions = self.generator.take_definitions(true);
        if let (false, Value::Object(schema)) = (definitions.is_empty(), &mut schema) {
            schema.insert("$defs".into(), Value::Object(definitions));
        }
        schema
    }
}

impl fmt::Debug for SchemaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaBuilder").field("title", &self.title).finish_non_exhaustive()
    }
}

//! Evaluate and explain on the server: for people who ask "what does this context get, and why?".

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::{
    Context, ErrorCode, Evaluation, FlagKey, Reason, evaluate, evaluate::evaluate_all, evaluation::FlagValue, explain,
    explain::Step,
};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal,
    access::{Action, authorize},
};
use crate::ports::store::EnvironmentId;

/// Evaluates a flag, or all flags.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evaluate {
    /// The flag; absent: all flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<FlagKey>,
    /// The evaluation context: a JSON object, its `targetingKey` the targeting key, all else attributes.
    #[schema(value_type = Object)]
    pub context: Json,
}

/// Evaluates one flag and tells how.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explain {
    /// The flag.
    pub flag: FlagKey,
    /// The evaluation context.
    #[schema(value_type = Object)]
    pub context: Json,
}

/// What one flag, or every flag, says.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Evaluated {
    /// One flag.
    One(Answer),
    /// Every flag, in the order of the keys.
    All {
        /// The answers.
        flags: Vec<Answer>,
    },
}

/// What one flag says.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The flag's key.
    pub flag: String,
    /// The value; null: the caller's default.
    #[schema(value_type = Option<Value>)]
    pub value: Json,
    /// The variant's key.
    pub variant: Option<String>,
    /// Why this value.
    pub reason: Reason,
    /// Why there is no value.
    pub error_code: Option<ErrorCode>,
    /// The unit's bucket in the split that chose the variant, 0 to 99,999.
    pub bucket: Option<u32>,
    /// The id of the rule that served.
    pub rule: Option<String>,
    /// The flag's version in the snapshot; 0 where the flag is unknown.
    pub version: u64,
}

/// What one flag says, and how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// What it says.
    #[serde(flatten)]
    pub answer: Answer,
    /// Step by step.
    pub steps: Vec<Step>,
}

impl App {
    /// What a person may ask of an environment.
    pub async fn authorize_evaluation(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
    ) -> Result<(), AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        Ok(())
    }

    /// Evaluates one flag, or all. Whether the caller may is decided before: people by their role, SDKs by their key.
    pub async fn evaluate(&self, environment: &EnvironmentId, command: &Evaluate) -> Result<Evaluated, AppError> {
        let ctx = context(&command.context)?;
        Ok(match &command.flag {
            Some(flag) => Evaluated::One(self.evaluate_flag(environment, flag.as_str(), &ctx).await?),
            None => Evaluated::All { flags: self.evaluate_flags(environment, &ctx).await? },
        })
    }

    /// Evaluates one flag. As [`evaluate`](App::evaluate) for who may.
    pub async fn evaluate_flag(
        &self,
        environment: &EnvironmentId,
        flag: &str,
        ctx: &Context,
    ) -> Result<Answer, AppError> {
        let compiled = self.ruleset(environment).await?;
        Ok(Answer::new(flag, &evaluate(&compiled.ruleset, flag, ctx, self.clock.now())))
    }

    /// Evaluates every flag, in the order of the keys. As [`evaluate`](App::evaluate) for who may.
    pub async fn evaluate_flags(&self, environment: &EnvironmentId, ctx: &Context) -> Result<Vec<Answer>, AppError> {
        let compiled = self.ruleset(environment).await?;
        let answers = evaluate_all(&compiled.ruleset, ctx, self.clock.now());
        Ok(answers.map(|(flag, evaluation)| Answer::new(flag, &evaluation)).collect())
    }

    /// Evaluates one flag and tells every step. As [`evaluate`](App::evaluate) for who may.
    pub async fn explain(&self, environment: &EnvironmentId, command: &Explain) -> Result<Explained, AppError> {
        let ctx = context(&command.context)?;
        let compiled = self.ruleset(environment).await?;
        let flag = command.flag.as_str();
        let explanation = explain(&compiled.ruleset, flag, &ctx, self.clock.now());
        Ok(Explained { answer: Answer::new(flag, &explanation.evaluation), steps: explanation.steps })
    }
}

impl Answer {
    /// An evaluation as the API shows it.
    pub fn new(flag: &str, evaluation: &Evaluation<'_>) -> Self {
        Self {
            flag: flag.to_owned(),
            value: json(evaluation.value),
            variant: evaluation.variant.map(str::to_owned),
            reason: evaluation.reason,
            error_code: evaluation.error,
            bucket: evaluation.bucket,
            rule: evaluation.rule.map(|(_, id)| id.to_owned()).filter(|id| !id.is_empty()),
            version: evaluation.flag_version,
        }
    }
}

fn context(context: &Json) -> Result<Context, AppError> {
    Context::from_json(context).map_err(|detail| AppError::invalid("/context", detail))
}

fn json(value: Option<&FlagValue>) -> Json {
    match serde_json::to_value(value) {
        Ok(value) => value,
        Err(error) => unreachable!("a flag's value is JSON: {error}"),
    }
}

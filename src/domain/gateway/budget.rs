//! Budgets: what one must look like, and the windows of time in which spending is counted.
//!
//! Upstream: `mlflow.gateway.budget_tracker`, `_create_budget_policy`, `_update_budget_policy`.

use super::given;
use crate::domain::time::date;
use crate::domain::{Error, Result};
use crate::proto::{
    BudgetAction, BudgetDuration, BudgetDurationUnit, BudgetTargetScope, BudgetUnit,
    CreateGatewayBudgetPolicy, UpdateGatewayBudgetPolicy,
};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Weeks begin on Sundays: on the one before the epoch, a Thursday.
const FIRST_SUNDAY_MS: i64 = -4 * DAY_MS;

/// The length of a window: so many of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration {
    /// The unit.
    pub unit: BudgetDurationUnit,
    /// How many; positive.
    pub value: i32,
}

impl Duration {
    fn new(duration: Option<BudgetDuration>) -> Result<Self> {
        let duration = duration.unwrap_or_default();
        let (unit, value) = (duration.unit(), duration.value());
        if unit == BudgetDurationUnit::DurationUnitUnspecified {
            return Err(invalid("duration.unit"));
        }
        if value <= 0 {
            return Err(Error::invalid(format!("duration.value must be a positive integer, got {value}")));
        }
        Ok(Self { unit, value })
    }

    /// Returns the beginning and the end of the window around `now`, in milliseconds since the epoch.
    pub fn window(self, now_ms: i64) -> (i64, i64) {
        let value = i64::from(self.value);
        let (origin, length) = match self.unit {
            BudgetDurationUnit::DurationUnitUnspecified | BudgetDurationUnit::Minutes => {
                (0, MINUTE_MS * value)
            }
            BudgetDurationUnit::Hours => (0, 60 * MINUTE_MS * value),
            BudgetDurationUnit::Days => (0, DAY_MS * value),
            BudgetDurationUnit::Weeks => (FIRST_SUNDAY_MS, 7 * DAY_MS * value),
            BudgetDurationUnit::Months => return months(now_ms, value),
        };
        let start = (now_ms - origin).div_euclid(length) * length + origin;
        (start, start + length)
    }
}

/// Counts months from January 1970.
fn months(now_ms: i64, value: i64) -> (i64, i64) {
    let (year, month, _day) = date(now_ms.max(0) / DAY_MS);
    let now = (year - 1970) * 12 + month - 1;
    let first = now / value * value;
    (month_start_ms(first), month_start_ms(first + value))
}

/// Returns the beginning of a month, counted from January 1970.
fn month_start_ms(month: i64) -> i64 {
    // Years begin with March, so that the day that some years have is their last.
    let months = month + 1970 * 12 - 2;
    let (year, month_from_march) = (months.div_euclid(12), months.rem_euclid(12));
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month_from_march + 2) / 5;
    (days - 719_468) * DAY_MS
}

/// Whose spending counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What kind of spender.
    pub scope: BudgetTargetScope,
    /// Which one, where the kind has several.
    pub value: Option<String>,
}

impl Target {
    /// Checks that both fit together.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`, also for users: without authentication nobody knows them. Upstream:
    /// `_validate_budget_target_scope`, `_assert_user_scope_enforceable`.
    pub fn new(scope: BudgetTargetScope, value: Option<String>) -> Result<Self> {
        let is_targeted = matches!(scope, BudgetTargetScope::Endpoint | BudgetTargetScope::User);
        if is_targeted && value.is_none() {
            let scope = scope.as_str_name();
            return Err(Error::invalid(format!("target_value is required when target_scope is {scope}.")));
        }
        if !is_targeted && value.is_some() {
            return Err(Error::invalid(
                "target_value can only be set when target_scope is ENDPOINT or USER.",
            ));
        }
        if scope == BudgetTargetScope::User {
            return Err(Error::invalid(
                "USER-scoped budget policies require server authentication to be enabled. Without auth the gateway \
                 cannot attribute requests to a user, so the policy would never take effect.",
            ));
        }
        Ok(Self { scope, value })
    }
}

/// A validated request for a budget.
#[derive(Debug, Clone)]
pub struct NewBudget {
    /// What is counted.
    pub unit: BudgetUnit,
    /// How much may be spent.
    pub amount: f64,
    /// In which time.
    pub duration: Duration,
    /// By whom.
    pub target: Target,
    /// What happens then.
    pub action: BudgetAction,
    /// Who asked for it.
    pub created_by: Option<String>,
}

impl TryFrom<CreateGatewayBudgetPolicy> for NewBudget {
    type Error = Error;

    fn try_from(r: CreateGatewayBudgetPolicy) -> Result<Self> {
        let unit = known_unit(r.budget_unit())?;
        let duration = Duration::new(r.duration)?;
        let scope = known_scope(r.target_scope())?;
        let action = known_action(r.budget_action())?;
        let target = Target::new(scope, given(r.target_value))?;
        let amount = r.budget_amount.unwrap_or_default();
        Ok(Self { unit, amount, duration, target, action, created_by: given(r.created_by) })
    }
}

/// What is to change of a budget.
#[derive(Debug, Clone)]
pub struct BudgetUpdate {
    /// The budget.
    pub budget_policy_id: String,
    /// What is counted now.
    pub unit: Option<BudgetUnit>,
    /// How much may be spent now.
    pub amount: Option<f64>,
    /// In which time.
    pub duration: Option<Duration>,
    /// By what kind of spender.
    pub scope: Option<BudgetTargetScope>,
    /// By which one; an empty text takes the old one away.
    pub target_value: Option<String>,
    /// What happens then.
    pub action: Option<BudgetAction>,
    /// Who asked for it.
    pub updated_by: Option<String>,
}

impl TryFrom<UpdateGatewayBudgetPolicy> for BudgetUpdate {
    type Error = Error;

    fn try_from(r: UpdateGatewayBudgetPolicy) -> Result<Self> {
        let unit = r.budget_unit.map(|_given| known_unit(r.budget_unit())).transpose()?;
        let duration = r.duration.map(|given| Duration::new(Some(given))).transpose()?;
        let scope = r.target_scope.map(|_given| known_scope(r.target_scope())).transpose()?;
        let action = r.budget_action.map(|_given| known_action(r.budget_action())).transpose()?;
        Ok(Self {
            budget_policy_id: r.budget_policy_id.unwrap_or_default(),
            unit,
            amount: r.budget_amount,
            duration,
            scope,
            target_value: r.target_value,
            action,
            updated_by: given(r.updated_by),
        })
    }
}

impl BudgetUpdate {
    /// Returns whose spending counts after the update of a budget that counted `old`'s; `None` where that does not
    /// change. A target is not taken over into another scope.
    ///
    /// # Errors
    /// As for [`Target::new`].
    pub fn target(&self, old: Target) -> Result<Option<Target>> {
        if self.scope.is_none() && self.target_value.is_none() {
            return Ok(None);
        }
        let scope = self.scope.unwrap_or(old.scope);
        let value = match &self.target_value {
            Some(value) => given(Some(value.clone())),
            None => old.value.filter(|_| scope == old.scope),
        };
        Target::new(scope, value).map(Some)
    }
}

fn known_unit(unit: BudgetUnit) -> Result<BudgetUnit> {
    if unit == BudgetUnit::Unspecified { Err(invalid("budget_unit")) } else { Ok(unit) }
}

fn known_scope(scope: BudgetTargetScope) -> Result<BudgetTargetScope> {
    if scope == BudgetTargetScope::TargetScopeUnspecified { Err(invalid("target_scope")) } else { Ok(scope) }
}

fn known_action(action: BudgetAction) -> Result<BudgetAction> {
    if action == BudgetAction::Unspecified { Err(invalid("budget_action")) } else { Ok(action) }
}

/// An enum without a known value is read as its zero.
fn invalid(name: &str) -> Error {
    Error::invalid(format!("Invalid {name}: 0"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-11-21T10:52:27Z, a Saturday.
    const NOW: i64 = 1_795_258_347_000;

    #[test]
    fn windows_are_those_of_stock() {
        use BudgetDurationUnit::{Days, Hours, Minutes, Months, Weeks};
        for (unit, value, start, end) in [
            (Minutes, 1, 1_795_258_320, 1_795_258_380),
            (Hours, 1, 1_795_255_200, 1_795_258_800),
            (Hours, 5, 1_795_248_000, 1_795_266_000),
            (Days, 1, 1_795_219_200, 1_795_305_600),
            (Days, 7, 1_795_046_400, 1_795_651_200),
            (Weeks, 1, 1_794_700_800, 1_795_305_600),
            (Weeks, 2, 1_794_700_800, 1_795_910_400),
            (Months, 1, 1_793_491_200, 1_796_083_200),
            (Months, 3, 1_790_812_800, 1_798_761_600),
            (Months, 24, 1_767_225_600, 1_830_297_600),
        ] {
            let window = Duration { unit, value }.window(NOW);
            assert_eq!(window, (start * 1000, end * 1000), "{value} {unit:?}");
        }
    }

    #[test]
    fn what_is_not_given_or_unknown_is_refused() {
        let whole = json!({"budget_unit": "USD", "budget_amount": 1, "duration": {"unit": "DAYS", "value": 1},
            "target_scope": "GLOBAL", "budget_action": "ALERT"});
        for (name, value, want) in [
            ("budget_unit", json!("EUR"), "Invalid budget_unit: 0"),
            ("duration", json!({}), "Invalid duration.unit: 0"),
            ("duration", json!({"unit": "DAYS"}), "duration.value must be a positive integer, got 0"),
            ("target_scope", json!("TARGET_SCOPE_UNSPECIFIED"), "Invalid target_scope: 0"),
            ("budget_action", json!("X"), "Invalid budget_action: 0"),
            ("target_scope", json!("ENDPOINT"), "target_value is required when target_scope is ENDPOINT."),
            (
                "target_value",
                json!("e"),
                "target_value can only be set when target_scope is ENDPOINT or USER.",
            ),
        ] {
            let mut request = whole.clone();
            request[name] = value;
            let request: CreateGatewayBudgetPolicy = serde_json::from_value(request).unwrap();
            assert_eq!(NewBudget::try_from(request).unwrap_err().message, want);
        }
        let request: CreateGatewayBudgetPolicy = serde_json::from_value(whole).unwrap();
        assert_eq!(NewBudget::try_from(request).unwrap().amount.to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn a_target_stays_in_its_scope() {
        let update = |json| {
            BudgetUpdate::try_from(serde_json::from_value::<UpdateGatewayBudgetPolicy>(json).unwrap())
                .unwrap()
        };
        let old = Target { scope: BudgetTargetScope::Endpoint, value: Some("e".into()) };
        assert_eq!(update(json!({})).target(old.clone()).unwrap(), None);
        let same = update(json!({"target_scope": "ENDPOINT"})).target(old.clone()).unwrap();
        assert_eq!(same, Some(old.clone()));
        let global = update(json!({"target_scope": "GLOBAL"})).target(old.clone()).unwrap();
        assert_eq!(global.unwrap().value, None);
        assert!(update(json!({"target_value": ""})).target(old.clone()).is_err());
        let user = update(json!({"target_scope": "USER", "target_value": "u"})).target(old);
        assert!(user.unwrap_err().message.starts_with("USER-scoped budget policies require"));
    }
}

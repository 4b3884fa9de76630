//! What a sender may do with its account: checked before anything is signed. Nothing here sends.

use schemas::alloy_primitives::Selector;
use schemas::alloy_sol_types::SolCall;
use schemas::{Address, U256};

use super::outbox::{Content, DaySpending};

/// The limits of an account. The default allows every action, at an ordinary price: for the commands
/// of a person. A service names what it does, see [`SpendingPolicy::only`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendingPolicy {
    pub allowed: Allowed,
    /// Neither base fee plus tip nor the tip alone may go above this, per unit of gas; replacements included.
    pub max_fee_per_gas_wei: u128,
    /// Units of gas of one transaction.
    pub max_gas_limit: u64,
    /// Within any 24 hours. A transaction and its replacements are one.
    pub max_transactions_per_day: u64,
    /// Within any 24 hours: what was paid, and the most that unfinished transactions may cost. The
    /// fee for data on an OP-Stack chain is known, and counted, only once it is paid.
    pub max_fees_per_day_wei: u128,
}

impl Default for SpendingPolicy {
    fn default() -> Self {
        Self {
            allowed: Allowed::Anything,
            max_fee_per_gas_wei: 500_000_000_000,
            max_gas_limit: 30_000_000,
            max_transactions_per_day: u64::MAX,
            max_fees_per_day_wei: u128::MAX,
        }
    }
}

/// Which actions are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    Anything,
    Only(Vec<Permission>),
}

/// One allowed action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    pub action: Action,
    /// Most that may be sent along.
    pub max_value_wei: U256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A function of a contract.
    Call { contract: Address, selector: Selector },
    /// Sending the chain's own coin, without calldata.
    Transfer { to: Address },
    /// Creating a contract.
    Deploy,
}

impl Permission {
    /// A function of a contract, without value.
    pub fn call<C: SolCall>(contract: Address) -> Self {
        Self { action: Action::Call { contract, selector: C::SELECTOR.into() }, max_value_wei: U256::ZERO }
    }

    /// The chain's own coin to one account.
    pub fn transfer(to: Address, max_value_wei: U256) -> Self {
        Self { action: Action::Transfer { to }, max_value_wei }
    }
}

/// Why the policy refuses a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViolation {
    #[error("{action} is not among the allowed actions")]
    Forbidden { action: String },
    #[error("{action} may send {max_wei} wei along, not {value_wei}")]
    Value { action: String, value_wei: U256, max_wei: U256 },
    #[error("it needs {gas_limit} units of gas, and {max} are allowed")]
    GasLimit { gas_limit: u64, max: u64 },
    #[error("{max} transactions were sent within 24 hours, which is the limit")]
    TransactionsPerDay { max: u64 },
    #[error("fees of {spent_wei} wei within 24 hours and up to {fee_wei} wei more would exceed the limit of {max_wei} wei")]
    FeesPerDay { spent_wei: u128, fee_wei: u128, max_wei: u128 },
}

impl SpendingPolicy {
    /// Allows these actions and no others.
    pub fn only(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { allowed: Allowed::Only(permissions.into_iter().collect()), ..Self::default() }
    }

    pub(super) fn check_action(&self, content: &Content) -> Result<(), PolicyViolation> {
        let Allowed::Only(permissions) = &self.allowed else { return Ok(()) };
        let shown = || describe(content);
        let fitting = permissions.iter().filter(|permission| permission.action.covers(content));
        let max_wei = fitting.map(|permission| permission.max_value_wei).max();
        match max_wei {
            None => Err(PolicyViolation::Forbidden { action: shown() }),
            Some(max_wei) if content.value > max_wei => Err(PolicyViolation::Value { action: shown(), value_wei: content.value, max_wei }),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_gas(&self, gas_limit: u64) -> Result<(), PolicyViolation> {
        let max = self.max_gas_limit;
        if gas_limit > max { Err(PolicyViolation::GasLimit { gas_limit, max }) } else { Ok(()) }
    }

    /// `before` without the nonce in question; `fee_wei` is the most that it may cost.
    pub(super) fn check_day(&self, before: DaySpending, fee_wei: u128) -> Result<(), PolicyViolation> {
        let (max, max_wei, spent_wei) = (self.max_transactions_per_day, self.max_fees_per_day_wei, before.fees_wei);
        if before.transactions >= max {
            return Err(PolicyViolation::TransactionsPerDay { max });
        }
        if spent_wei.saturating_add(fee_wei) > max_wei {
            return Err(PolicyViolation::FeesPerDay { spent_wei, fee_wei, max_wei });
        }
        Ok(())
    }
}

impl Action {
    fn covers(&self, content: &Content) -> bool {
        match *self {
            Self::Call { contract, selector } => content.to == Some(contract) && content.calldata.starts_with(selector.as_slice()),
            Self::Transfer { to } => content.to == Some(to) && content.calldata.is_empty(),
            Self::Deploy => content.to.is_none(),
        }
    }
}

/// For people.
pub(super) fn describe(content: &Content) -> String {
    match (content.to, content.calldata.get(..4)) {
        (None, _) => "creating a contract".into(),
        (Some(to), Some(selector)) => format!("function 0x{} of {to}", schemas::alloy_primitives::hex::encode(selector)),
        (Some(to), None) if content.calldata.is_empty() => format!("a transfer to {to}"),
        (Some(to), None) => format!("calldata without a selector to {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(to: Option<Address>, calldata: &[u8], value: u64) -> Content {
        Content { to, calldata: calldata.to_vec().into(), value: U256::from(value) }
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let (ours, theirs) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let call = Permission { action: Action::Call { contract: ours, selector: [1, 2, 3, 4].into() }, max_value_wei: U256::from(5u64) };
        let policy = SpendingPolicy::only([call, Permission::transfer(theirs, U256::from(9u64))]);
        let cases: [(Content, Option<&str>); 11] = [
            (content(Some(ours), &[1, 2, 3, 4], 0), None),
            (content(Some(ours), &[1, 2, 3, 4, 99], 5), None),
            (content(Some(ours), &[1, 2, 3, 4], 6), Some("may send 5 wei along, not 6")),
            (content(Some(ours), &[1, 2, 3, 5], 0), Some("function 0x01020305 of")),
            (content(Some(ours), &[1, 2, 3], 0), Some("calldata without a selector")),
            (content(Some(ours), &[], 0), Some("a transfer to")),
            (content(Some(theirs), &[1, 2, 3, 4], 0), Some("not among the allowed actions")),
            (content(Some(theirs), &[], 9), None),
            (content(Some(theirs), &[], 10), Some("not 10")),
            (content(Some(theirs), &[0], 0), Some("not among")),
            (content(None, &[1, 2, 3, 4], 0), Some("creating a contract")),
        ];
        for (content, problem) in cases {
            let found = policy.check_action(&content).err().map(|violation| violation.to_string());
            match (problem, &found) {
                (None, None) => {}
                (Some(words), Some(found)) if found.contains(words) => {}
                _ => panic!("{content:?}: {found:?}, expected {problem:?}"),
            }
            assert_eq!(SpendingPolicy::default().check_action(&content), Ok(()));
        }
        let deploys = SpendingPolicy::only([Permission { action: Action::Deploy, max_value_wei: U256::ZERO }]);
        assert_eq!(deploys.check_action(&content(None, &[1], 0)), Ok(()));
        assert!(deploys.check_action(&content(None, &[1], 1)).is_err());
        assert!(deploys.check_action(&content(Some(ours), &[1, 2, 3, 4], 0)).is_err());
    }

    #[test]
    fn amounts_are_limited() {
        let policy =
            SpendingPolicy { max_gas_limit: 10, max_transactions_per_day: 2, max_fees_per_day_wei: 100, ..SpendingPolicy::default() };
        assert_eq!(policy.check_gas(10), Ok(()));
        assert_eq!(policy.check_gas(11), Err(PolicyViolation::GasLimit { gas_limit: 11, max: 10 }));
        let spent = |transactions, fees_wei| DaySpending { transactions, fees_wei };
        assert_eq!(policy.check_day(spent(1, 60), 40), Ok(()));
        assert_eq!(policy.check_day(spent(2, 0), 0), Err(PolicyViolation::TransactionsPerDay { max: 2 }));
        let over = PolicyViolation::FeesPerDay { spent_wei: 60, fee_wei: 41, max_wei: 100 };
        assert_eq!(policy.check_day(spent(1, 60), 41), Err(over));
        assert!(policy.check_day(spent(0, u128::MAX), 1).is_err());
    }
}

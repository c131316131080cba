"""The values that a template's parameters have, checked as CloudFormation does before it makes anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def parameter_values(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, str]:
    """Gives the value of every parameter as text: the one given, else its default.

    Args:
        declared: the section `Parameters` of a template.
        given: values by name.

    Raises:
        ValueError: one error that names every parameter at fault.
    """
    problems = [
        f"there is no parameter {name}; there are {', '.join(sorted(declared))}"
        for name in sorted(given.keys() - declared.keys())
    ]
    values = {}
    for name, rules in declared.items():
        if name not in given and "Default" not in rules:
            problems.append(f"{name} has no default, so a value is needed")
            continue
        values[name] = str(given.get(name, rules.get("Default")))
        problem = _problem(values[name], rules)
        if problem:
            problems.append(f"{name}={values[name]!r}: {problem}")
    if problems:
        raise ValueError("; ".join(problems))
    return values


def check_rules(rules: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> None:
    """Checks combinations of values: the section `Rules` of a template.

    Raises:
        ValueError: one error with the description of every assertion that does not hold.
    """
    problems = [
        assertion["AssertDescription"]
        for rule in rules.values()
        if _holds(rule.get("RuleCondition", True), values)
        for assertion in rule["Assertions"]
        if not _holds(assertion["Assert"], values)
    ]
    if problems:
        raise ValueError(" ".join(problems))


def _holds(condition: Any, values: Mapping[str, str]) -> bool:
    match condition:
        case bool():
            return condition
        case {"Fn::Equals": [left, right]}:
            return _text(left, values) == _text(right, values)
        case {"Fn::Not": [only]}:
            return not _holds(only, values)
        case {"Fn::And": list(parts)}:
            return all(_holds(part, values) for part in parts)
        case {"Fn::Or": list(parts)}:
            return any(_holds(part, values) for part in parts)
    raise NotImplementedError(f"a condition of a rule that is not known here: {condition}")


def _text(operand: Any, values: Mapping[str, str]) -> str:
    return values[operand["Ref"]] if isinstance(operand, dict) else str(operand)


def _problem(value: str, rules: Mapping[str, Any]) -> str:
    allowed = [str(each) for each in rules.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    # CloudFormation matches the whole value.
    if "AllowedPattern" in rules and not re.fullmatch(rules["AllowedPattern"], value):
        return rules.get("ConstraintDescription") or f"must match {rules['AllowedPattern']}"
    if len(value) > int(rules.get("MaxLength", len(value))):
        return f"must have at most {rules['MaxLength']} characters"
    return _problem_of_number(value, rules) if rules["Type"] == "Number" else ""


def _problem_of_number(value: str, rules: Mapping[str, Any]) -> str:
    try:
        number = float(value)
    except ValueError:
        return "must be a number"
    if number < float(rules.get("MinValue", number)):
        return f"must be at least {rules['MinValue']}"
    if number > float(rules.get("MaxValue", number)):
        return f"must be at most {rules['MaxValue']}"
    return ""

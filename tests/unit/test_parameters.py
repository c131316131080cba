"""Values of a template's parameters, checked as CloudFormation checks them."""

from typing import Any

import pytest

from local.parameters import check_rules, parameter_values
from local.template import read_template

DECLARED: dict[str, dict[str, Any]] = {
    "Name": {"Type": "String", "Default": "", "AllowedPattern": "^([a-z]+)?$"},
    "Kind": {"Type": "String", "Default": "small", "AllowedValues": ["small", "large"]},
    "Count": {"Type": "Number", "Default": 5, "MinValue": 1, "MaxValue": 10},
    "Days": {"Type": "Number", "Default": 30, "AllowedValues": [7, 30]},
}


def test_a_parameter_has_the_value_given_else_its_default() -> None:
    assert parameter_values(DECLARED, {"Count": "7"}) == {
        "Name": "",
        "Kind": "small",
        "Count": "7",
        "Days": "30",
    }


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"Size": "1"}, "there is no parameter Size; there are Count, Days, Kind, Name"),
        ({"Kind": "huge"}, "Kind='huge': must be one of small, large"),
        ({"Name": "A"}, r"Name='A': must match"),
        ({"Count": "many"}, "Count='many': must be a number"),
        ({"Count": "0"}, "Count='0': must be at least 1"),
        ({"Count": "11"}, "Count='11': must be at most 10"),
        ({"Days": "8"}, "Days='8': must be one of 7, 30"),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused(given: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parameter_values(DECLARED, given)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"Size.*Kind.*Count"):
        parameter_values(DECLARED, {"Count": "0", "Size": "1", "Kind": "huge"})


def test_a_parameter_without_default_needs_a_value() -> None:
    with pytest.raises(ValueError, match="Vpc has no default, so a value is needed"):
        parameter_values({"Vpc": {"Type": "String"}}, {})


def test_the_template_is_read_with_the_values_given() -> None:
    template = read_template(parameters={"MaxReceives": "3"})

    assert template.parameters["MaxReceives"] == "3"
    assert template.parameters["Architecture"] == "x86_64"


def test_a_name_that_the_template_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no parameter Arch;"):
        read_template(parameters={"Arch": "arm64"})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"SnapStart": "true", "EphemeralStorageMb": "1024"}, "no more than 512 MB of /tmp"),
        ({"SnapStart": "true", "DetectionProvisionedConcurrency": "1"}, "exclude each other"),
        ({"SubnetIds": "subnet-0a"}, "needs both SubnetIds and SecurityGroupIds"),
        ({"SecurityGroupIds": "sg-0a"}, "needs both SubnetIds and SecurityGroupIds"),
        ({"Deployment": "Canary10Percent5Minutes", "Alarms": "false"}, "so it needs Alarms=true"),
        (
            {"AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:ops", "AlarmEmail": "a@example.org"},
            "AlarmTopicArn or to AlarmEmail",
        ),
    ],
)
def test_a_combination_that_cannot_work_is_refused_by_the_template(
    given: dict[str, str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        read_template(parameters=given)


@pytest.mark.parametrize(
    "given",
    [
        {"SnapStart": "true"},
        {"EphemeralStorageMb": "1024", "DetectionProvisionedConcurrency": "1"},
        {"SubnetIds": "subnet-0a,subnet-0b", "SecurityGroupIds": "sg-0a"},
        {"Deployment": "Canary10Percent5Minutes"},
        {"Alarms": "false"},
    ],
)
def test_a_combination_that_works_is_not_refused(given: dict[str, str]) -> None:
    assert given.items() <= read_template(parameters=given).parameters.items()


def test_a_rule_in_words_that_are_not_known_is_not_passed_over() -> None:
    rules = {"Any": {"Assertions": [{"Assert": {"Fn::Contains": [["a"], "a"]}, "AssertDescription": ""}]}}

    with pytest.raises(NotImplementedError, match="Fn::Contains"):
        check_rules(rules, {})

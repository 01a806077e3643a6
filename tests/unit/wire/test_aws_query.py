"""The query protocol where the models we serve do not go: flat lists and maps, names of items, what is refused."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.model import ServiceModel

from longshore.wire import aws_query
from longshore.wire.aws_query import AwsQuery
from longshore.wire.protocol import MalformedError, WrongOutputError
from longshore.wire.service import AwsError

SHAPES = ServiceModel(
    {
        "metadata": {"protocol": "query"},
        "operations": {},
        "shapes": {
            "Everything": {
                "type": "structure",
                "members": {
                    "Text": {"shape": "Text"},
                    "Flag": {"shape": "Flag"},
                    "Small": {"shape": "Small"},
                    "Ratio": {"shape": "Ratio"},
                    "Moment": {"shape": "Moment"},
                    "Data": {"shape": "Data"},
                    "Renamed": {"shape": "Text", "locationName": "Other"},
                    "Many": {"shape": "Many"},
                    "Named": {"shape": "Named"},
                    "Flat": {"shape": "Flat"},
                    "FlatItems": {"shape": "FlatItems"},
                    "Map": {"shape": "Map"},
                    "FlatMap": {"shape": "FlatMap"},
                    "Inner": {"shape": "Inner"},
                },
            },
            "Text": {"type": "string"},
            "Flag": {"type": "boolean"},
            "Small": {"type": "integer"},
            "Ratio": {"type": "double"},
            "Moment": {"type": "timestamp"},
            "Data": {"type": "blob"},
            "Many": {"type": "list", "member": {"shape": "Small"}},
            "Named": {"type": "list", "member": {"shape": "Text", "locationName": "Item"}},
            "Flat": {"type": "list", "member": {"shape": "Text"}, "flattened": True},
            "FlatItems": {"type": "list", "member": {"shape": "Inner", "locationName": "Item"}, "flattened": True},
            "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Small"}},
            "FlatMap": {
                "type": "map",
                "key": {"shape": "Text", "locationName": "K"},
                "value": {"shape": "Text", "locationName": "V"},
                "flattened": True,
            },
            "Inner": {"type": "structure", "members": {"Text": {"shape": "Text"}}},
        },
    }
)
EVERYTHING = SHAPES.shape_for("Everything")
decoding = aws_query.Decoders().plan(EVERYTHING)
encoding = aws_query.Encoders().plan(EVERYTHING)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("", {}),
        ("Text=", {"Text": ""}),
        ("Text=a+b%2Bc%C3%A4", {"Text": "a b+cä"}),
        ("Other=x&Renamed=y", {"Renamed": "x"}),
        ("Unknown.member.1=x", {}),
        ("Flag=true", {"Flag": True}),
        ("Small=-2147483648", {"Small": -(2**31)}),
        ("Ratio=1e3", {"Ratio": 1000.0}),
        ("Ratio=-Infinity", {"Ratio": -math.inf}),
        ("Moment=2015-11-05T17:23:08.711Z", {"Moment": 1446744188.711}),
        ("Moment=1446744188.711", {"Moment": 1446744188.711}),
        ("Moment=Thu, 05 Nov 2015 17:23:08 GMT", {"Moment": 1446744188.0}),
        ("Data=AAE%3D", {"Data": b"\x00\x01"}),
        ("Many=", {"Many": []}),
        ("Many.member.2=2&Many.member.10=3&Many.member.1=1", {"Many": [1, 2, 3]}),
        ("Named.Item.1=a&Named.Item.2=b", {"Named": ["a", "b"]}),
        ("Flat.1=a&Flat.2=b", {"Flat": ["a", "b"]}),
        ("Item.1.Text=a&Item.2.Text=b", {"FlatItems": [{"Text": "a"}, {"Text": "b"}]}),
        ("Map.entry.1.key=a&Map.entry.1.value=1", {"Map": {"a": 1}}),
        ("FlatMap.1.K=a&FlatMap.1.V=1&FlatMap.2.K=b&FlatMap.2.V=", {"FlatMap": {"a": "1", "b": ""}}),
        ("Inner.Text=x", {"Inner": {"Text": "x"}}),
        ("Inner=", {"Inner": {}}),
    ],
)
def test_parameters_become_an_input(form: str, value: dict[str, Any]) -> None:
    assert decoding(aws_query.parse(form)) == value


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("Text.1=x", "Text: expected a value, found parts of one"),
        ("Inner=x", "Inner: expected parts, found a value"),
        ("Flag=yes", "Flag: expected true or false, found another text"),
        ("Small=1.5", "Small: expected an integer, found another text"),
        ("Small=" + "9" * 5000, "Small: expected an integer, found another text"),
        ("Small=2147483648", "Small: the number does not fit into 32 bits"),
        ("Small=%D9%A1", "Small: expected an integer, found another text"),
        ("Ratio=1e999", "Ratio: the number is too large"),
        ("Ratio=nan", "Ratio: expected a number, found another text"),
        ("Moment=1446744188711", "Moment: the time is outside the years 1 to 9999; it must be in epoch seconds"),
        ("Moment=yesterday", "Moment: expected a time, in epoch seconds or ISO 8601"),
        ("Data=*", "Data: expected a base64 text, found another text"),
        ("Many.1=1", "Many: expected member.1, member.2 and so on"),
        ("Many.member.1=1&Many.member.x=2", "Many: items are numbered from 1 on"),
        ("Many.member.0=1", "Many: items are numbered from 1 on"),
        ("Many.member.1=1&Many.member.2=x", "Many[1]: expected an integer, found another text"),
        ("Map.entry.1.key=a", "Map: an entry has a key and a value; this one does not"),
        ("Map.entry.1.key=a&Map.entry.1.value=x", "Map.a: expected an integer, found another text"),
        ("Text=a&Text=b", "The parameter Text is given twice, or both by itself and in parts."),
        ("Text=a&Text.b=c", "The parameter Text.b is given twice, or both by itself and in parts."),
        ("Text.b=c&Text=a", "The parameter Text is given twice, or both by itself and in parts."),
        ("Text=%FF", "A parameter is not UTF-8."),
        ("a." * 100 + "b=", "The parameter a.a."),
        ("&".join(f"a{number}=" for number in range(10_001)), "The request has more than 10000 parameters."),
    ],
)
def test_what_is_no_input_is_refused_with_its_place(form: str, message: str) -> None:
    with pytest.raises(MalformedError) as refused:
        decoding(aws_query.parse(form))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "xml"),
    [
        ({}, ""),
        ({"Text": "a<b>&\r\x00", "Flag": None}, "<Text>a&lt;b&gt;&amp;&#xD;\ufffd</Text>"),
        ({"Text": ""}, "<Text/>"),
        ({"Flag": True, "Small": 0}, "<Flag>true</Flag><Small>0</Small>"),
        ({"Ratio": math.nan}, "<Ratio>NaN</Ratio>"),
        ({"Moment": 1446744188.7114}, "<Moment>2015-11-05T17:23:08.711Z</Moment>"),
        ({"Moment": 1446744188}, "<Moment>2015-11-05T17:23:08Z</Moment>"),
        ({"Renamed": "x"}, "<Other>x</Other>"),
        ({"Many": [1]}, "<Many><member>1</member></Many>"),
        ({"Many": []}, "<Many/>"),
        ({"Flat": ["a", "b"]}, "<Flat>a</Flat><Flat>b</Flat>"),
        ({"FlatItems": [{"Text": "a"}, {}]}, "<Item><Text>a</Text></Item><Item/>"),
        ({"Map": {"a": 1, "none": None}}, "<Map><entry><key>a</key><value>1</value></entry></Map>"),
        ({"FlatMap": {"a": "1"}}, "<FlatMap><K>a</K><V>1</V></FlatMap>"),
        ({"Data": b"\x00\x01"}, "<Data>AAE=</Data>"),
    ],
)
def test_an_output_becomes_xml(value: dict[str, Any], xml: str) -> None:
    assert encoding(value) == xml
    ElementTree.fromstring(f"<root>{xml}</root>")


@pytest.mark.parametrize("value", [{"Tekst": "x"}, {"Inner": {"Tekst": "x"}}, {"Text": 1}, {"Small": "1"}])
def test_an_output_the_model_does_not_have_is_our_bug(value: dict[str, Any]) -> None:
    with pytest.raises(WrongOutputError):
        encoding(value)


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        ("AccessDeniedException", "AccessDenied", 403),
        ("InvalidSignatureException", "SignatureDoesNotMatch", 403),
        ("UnrecognizedClientException", "InvalidClientTokenId", 403),
        ("InternalFailure", "InternalFailure", 500),
    ],
)
def test_what_every_service_may_answer_has_this_protocols_name(code: str, said: str, status: int) -> None:
    answer = AwsQuery([]).error(AwsError(code, "no", 500 if code == "InternalFailure" else 400), "an-id", None)
    kind = "Receiver" if status == 500 else "Sender"
    assert answer.status == status
    assert answer.body.decode() == (
        f"<ErrorResponse><Error><Type>{kind}</Type><Code>{said}</Code><Message>no</Message></Error>"
        "<RequestId>an-id</RequestId></ErrorResponse>\n"
    )

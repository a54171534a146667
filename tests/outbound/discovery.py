#!/usr/bin/env python3
"""Checks messages of discovery with Home Assistant's own code. By hand, since installing it takes minutes:

  python3 -m venv /tmp/ha && /tmp/ha/bin/pip install homeassistant==2024.3.3 paho-mqtt==1.6.1
  tests/outbound/run.sh --keep /tmp/outbound
  /tmp/ha/bin/python tests/outbound/discovery.py /tmp/outbound/discovery.json /tmp/outbound/state.json

The first file is an object of topics and messages, the second a document of /json. Each message must be what the schema of
its component takes, its unit one of its device class, and its template must make a state of the document that the component
takes. Exit status: 0 nothing is wrong, 1 something is.
"""
import asyncio
import datetime
import json
import re
import sys

from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER
from homeassistant.components.sensor.const import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template

SCHEMAS = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}
TOPIC_KEYS = ("state_topic", "availability_topic", "json_attributes_topic")


def faults(topic, text, document, hass):
    matched = TOPIC_MATCHER.match(topic.split("/", 1)[1])
    if not matched:
        return ["Home Assistant does not take the topic"]
    message = json.loads(text)
    base = message.pop("~", "")
    for key in TOPIC_KEYS:
        if key in message:
            message[key] = message[key].replace("~", base)
    component = matched.group("component")
    try:
        config = SCHEMAS[component](dict(message))
    except Exception as wrong:  # whatever voluptuous raises
        return ["the schema: %s" % wrong]
    found = []
    kind, unit = config.get("device_class"), config.get("unit_of_measurement")
    if component == "sensor":
        if kind and unit not in DEVICE_CLASS_UNITS.get(kind, {None}):
            found.append("%s is no unit of %s" % (unit, kind))
        if kind and config.get("state_class") not in DEVICE_CLASS_STATE_CLASSES.get(kind, set()) | {None}:
            found.append("%s is no state class of %s" % (config.get("state_class"), kind))
    value = Template(message["value_template"], hass).async_render_with_possible_json_value(json.dumps(document), "ERROR")
    right = r"-?\d+(\.\d+)?" if component == "sensor" else "ON|OFF"
    if kind == "timestamp":
        try:
            right = ".*" if datetime.datetime.fromisoformat(value).tzinfo else "a time with its zone"
        except ValueError:
            right = "a time"
    if not re.fullmatch(right, str(value)):
        found.append("the state is %r" % value)
    if "json_attributes_template" in message:
        made = Template(message["json_attributes_template"], hass).async_render_with_possible_json_value(json.dumps(document), "ERROR")
        try:
            json.loads(made)
        except ValueError:
            found.append("the attributes are %r" % made)
    print("%-40s %-12s %s" % (message["name"], value, unit or ""))
    return found


async def main():
    hass = HomeAssistant("/tmp")
    with open(sys.argv[1]) as messages, open(sys.argv[2]) as state:
        messages, document = json.load(messages), json.load(state)
    count = 0
    for topic, text in sorted(messages.items()):
        for fault in faults(topic, text, document, hass):
            print("FAIL %s: %s" % (topic, fault))
            count += 1
    print("%d messages, %d faults" % (len(messages), count))
    await hass.async_stop(force=True)
    return 1 if count or not messages else 0


sys.exit(asyncio.run(main()))

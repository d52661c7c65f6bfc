"""Building blocks of Grafana dashboards, as plain dictionaries.

Implements Grafana's JSON model (schema version 39: Grafana 10.4 and 11), independent of our metrics. Properties that every
panel needs (title, description, unit, data source, targets) are arguments without a default, so they cannot be omitted.
"""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # width of Grafana's grid


def target(expr, legend="", *, instant=False, table=False, heatmap=False):
    """A query. Tables use instant queries with one row per series; graphs use range queries."""
    kind = "table" if table else "heatmap" if heatmap else "time_series"
    instant = instant or table
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expr,
        "format": kind,
        "instant": instant,
        "range": not instant,
        "legendFormat": legend or "__auto",
    }


def panel(kind, title, description, unit, targets, *, defaults=None, options=None, overrides=(), **extra):
    """A panel without a position; `Board.line` sets it."""
    refs = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [dict(t, refId=refs[i]) for i, t in enumerate(targets)],
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": "no data", **(defaults or {})},
            "overrides": list(overrides),
        },
        "options": options or {},
        **extra,
    }


def thresholds(*steps):
    """`thresholds("green", (1, "red"))`: green below 1, red from 1."""
    first, *more = steps
    values = [{"color": first, "value": None}, *({"color": color, "value": value} for value, color in more)]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": values}}


def mapping(*states):
    """Value mappings from `(value, text, color)`."""
    options = {str(value): {"text": text, "color": color, "index": i} for i, (value, text, color) in enumerate(states)}
    return [{"type": "value", "options": options}]


def override(field, **properties):
    """Properties of the field with this name. `links` are data links; `custom__x` means `custom.x`."""
    listed = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": field}, "properties": listed}


def link(title, url):
    return [{"title": title, "url": url, "targetBlank": False}]


def stat(title, description, unit, targets, *, colors=None, mappings=None, background=True, links=None, text="auto"):
    defaults = dict(colors or {"color": {"mode": "fixed", "fixedColor": "text"}})
    if mappings:
        defaults.update(mappings=mappings, color={"mode": "thresholds"})
    if links:
        defaults["links"] = links
    options = {
        "colorMode": "background" if background and (colors or mappings) else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": text,
        "wideLayout": True,
    }
    return panel("stat", title, description, unit, targets, defaults=defaults, options=options)


def graph(title, description, unit, targets, *, stack=False, low=None, high=None, overrides=(), links=None, legend="list", points=300):
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stack else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}}
    defaults |= {name: value for name, value in (("min", low), ("max", high), ("links", links)) if value is not None}
    calcs = ["max", "lastNotNull"] if legend == "table" else []
    options = {
        "legend": {"displayMode": legend, "placement": "bottom", "showLegend": True, "calcs": calcs},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, unit, targets,
        defaults=defaults, options=options, overrides=overrides, maxDataPoints=points,
    )  # fmt: skip


def timeline(title, description, targets, mappings, *, links=None, unit="none"):
    """States over time, one row per series. Uses few points, because second accuracy is not needed."""
    defaults = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
        "mappings": mappings,
    }
    if links:
        defaults["links"] = links
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel("state-timeline", title, description, unit, targets, defaults=defaults, options=options, maxDataPoints=300)


def heatmap(title, description, unit, expr):
    """A heatmap of the buckets of a classic histogram: `expr` keeps `le`."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "ops"},
        "color": {"mode": "scheme", "scheme": "Spectral", "exponent": 0.5, "steps": 64, "reverse": True},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": unit},
    }
    return panel("heatmap", title, description, unit, [target(expr, "{{le}}", heatmap=True)], options=options, maxDataPoints=200)


def bars(title, description, unit, targets, *, colors=None, overrides=(), links=None, low=0, high=None):
    defaults = {"min": low, **(colors or {"color": {"mode": "continuous-GrYlRd"}})}
    defaults |= {name: value for name, value in (("max", high), ("links", links)) if value is not None}
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    }
    return panel("bargauge", title, description, unit, targets, defaults=defaults, options=options, overrides=overrides)


def table(title, description, unit, exprs, columns, *, overrides=(), sort=None, descending=False, empty=None):
    """A table with one row per object. Rows of several queries are merged if their labels are equal.

    `columns` are the fields to show, in this order. Fields with the prefix `-` are hidden.
    """
    hidden = [field for field in columns if field.startswith("-")]
    shown = [field for field in columns if not field.startswith("-")]
    organize = {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True, **{field[1:]: True for field in hidden}},
            "indexByName": {field: i for i, field in enumerate(shown)},
            "renameByName": {},
        },
    }
    defaults = {"custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}}
    if empty:
        defaults["noValue"] = empty
    options = {
        "cellHeight": "sm",
        "showHeader": True,
        "footer": {"show": False, "reducer": [], "fields": "", "countRows": False, "enablePagination": True},
        "sortBy": [{"displayName": sort, "desc": descending}] if sort else [],
    }
    targets = [target(expr, table=True) for expr in exprs]
    transformations = [{"id": "merge", "options": {}}, organize]
    return panel(
        "table", title, description, unit, targets,
        defaults=defaults, options=options, overrides=overrides, transformations=transformations,
    )  # fmt: skip


def annotation(name, color, expr, text, *, value_is_time=False):
    """Annotations in every graph of a board. With `value_is_time`, the value is the time in milliseconds."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "15s",
        "titleFormat": name,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": value_is_time,
    }


def query_variable(name, query):
    """A variable with the values of a label. Several values, or all, can be selected."""
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": DATASOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }


def datasource_variable():
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
        "hide": 0,
    }


def choice_variable(name, label, values, default):
    chosen = {value: {"selected": value == default, "text": value, "value": value} for value in values}
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "multi": False,
        "includeAll": False,
        "current": chosen[default],
        "options": list(chosen.values()),
        "hide": 0,
    }


class Board:
    """A dashboard, built line by line from top to bottom."""

    def __init__(self, uid, title, description, tag, variables, annotations=()):
        self.head = {"uid": uid, "title": title, "description": description, "tags": [tag]}
        self.variables = variables
        self.annotations = list(annotations)
        self.panels = []
        self.y = 0

    def _add(self, content, x, width, height):
        place = {"h": height, "w": width, "x": x, "y": self.y}
        self.panels.append({"id": len(self.panels) + 1, "gridPos": place, **content})

    def row(self, title):
        self._add({"type": "row", "title": title, "collapsed": False, "panels": []}, 0, COLUMNS, 1)
        self.y += 1

    def line(self, height, *panels, widths=None):
        """Adds panels side by side, with equal widths unless `widths` is set."""
        widths = widths or [COLUMNS // len(panels)] * len(panels)
        if sum(widths) != COLUMNS:
            raise ValueError(f"widths {widths} do not add up to the width of the line that begins with {panels[0]['title']!r}")
        x = 0
        for content, width in zip(panels, widths, strict=True):
            self._add(content, x, width, height)
            x += width
        self.y += height

    def json(self):
        (tag,) = self.head["tags"]
        builtin = {
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "hide": True,
            "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts",
            "type": "dashboard",
        }
        siblings = {
            "type": "dashboards",
            "title": "Magic tunnels",
            "tags": [tag],
            "asDropdown": False,
            "icon": "dashboard",
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
            "tooltip": "",
            "url": "",
        }
        return {
            **self.head,
            "id": None,
            "schemaVersion": 39,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "weekStart": "",
            "liveNow": False,
            "fiscalYearStartMonth": 0,
            "links": [siblings],
            "templating": {"list": self.variables},
            "annotations": {"list": [builtin, *self.annotations]},
            "panels": self.panels,
        }

"""Panels, variables and annotations, built with Grafana's Foundation SDK and independent of our metrics.

What every panel needs (title, description, queries) is a required argument; the unit is `none` unless set.
"""

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

TAG = "cloudflare-magic"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24  # width of Grafana's grid
SCHEMA_VERSION = 39  # Grafana 10.4

TIME_SERIES, TABLE, HEATMAP = PromQueryFormat.TIME_SERIES, PromQueryFormat.TABLE, PromQueryFormat.HEATMAP


def uid(name):
    """The address of a dashboard, for links."""
    return f"{TAG}-{name}"


# --- Parts of panels --------------------------------------------------------------------------------------------------


def query(expr, legend="", kind=TIME_SERIES):
    """A range query."""
    built = prometheus.Dataquery().expr(expr).format(kind).legend_format(legend or "__auto")
    return built.editor_mode(QueryEditorMode.CODE).datasource(DATASOURCE).range()


def instant(expr, legend="", kind=TIME_SERIES):
    """A query of the current values."""
    return query(expr, legend, kind).instant()


def thresholds(*steps):
    """`thresholds("green", (1, "red"))`: green below 1, red from 1."""
    first, *more = steps
    values = [model.Threshold(None, first), *(model.Threshold(value, color) for value, color in more)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(values)


def mapping(*states):
    """Words and colors for values, from `(value, text, color)`."""
    words = {
        str(value): model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, text, color) in enumerate(states)
    }
    return [model.ValueMap(words)]


def color(mode, name=None):
    built = dashboard.FieldColor().mode(mode)
    return built.fixed_color(name) if name else built


def fixed(name):
    """A property of `field` for a series with a color of its own."""
    return color(model.FieldColorModeId.FIXED, name).build()


def field(name, title=None, **properties):
    """Properties of a field: a column, or a series by its legend. `custom__x` means `custom.x`."""
    named = {"displayName": title} if title else {}
    listed = (named | properties).items()
    return name, [model.DynamicConfigValue(key.replace("__", "."), value) for key, value in listed]


def link(title, url):
    return dashboard.DashboardLink(title).url(url)


def panel(
    built, title, description, queries, *,
    unit="none", high=None, mode=None, colors=None, mappings=None, fields=(), links=(), empty="no data",
):  # fmt: skip
    """The properties that panels of all types share. `colors` and `mappings` replace the color mode `mode`."""
    built.title(title).description(description).datasource(DATASOURCE).unit(unit).no_value(empty)
    for ref, one in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", queries, strict=False):
        built.with_target(one.ref_id(ref))
    for name, properties in fields:
        built.override_by_name(name, properties)
    if high is not None:
        built.max(high)
    if colors or mappings:
        mode = model.FieldColorModeId.THRESHOLDS
    if mode:
        built.color_scheme(color(mode, "text" if mode == model.FieldColorModeId.FIXED else None))
    if colors:
        built.thresholds(colors)
    if mappings:
        built.mappings(mappings)
    if links:
        built.data_links(links)
    return built


LAST_VALUE = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)
LEGEND = common.VizLegendOptions().display_mode(look.LegendDisplayMode.LIST).show_legend(True).calcs([])
LEGEND.placement(look.LegendPlacement.BOTTOM)


# --- Panels -----------------------------------------------------------------------------------------------------------


def number(title, description, *queries, background=True, text="auto", **more):
    """Big numbers or words, one for each series."""
    colored = background and (more.get("colors") or more.get("mappings"))
    built = stat.Panel().graph_mode(look.BigValueGraphMode.NONE).text_mode(look.BigValueTextMode(text))
    built.color_mode(look.BigValueColorMode.BACKGROUND if colored else look.BigValueColorMode.VALUE)
    built.reduce_options(LAST_VALUE)
    return panel(built, title, description, queries, mode=model.FieldColorModeId.FIXED, **more)


def graph(title, description, *queries, stack=False, limits=None, points=300, **more):
    """Lines from 0, with dashed lines at `limits`."""
    built = timeseries.Panel().min(0).max_data_points(points).line_width(1).fill_opacity(25 if stack else 5)
    built.show_points(look.VisibilityMode.NEVER).span_nulls(False).legend(LEGEND)
    built.tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING))
    if stack:
        built.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(look.GraphThresholdsStyleMode.DASHED)
        built.thresholds(limits).thresholds_style(style)
    return panel(built, title, description, queries, mode=model.FieldColorModeId.PALETTE_CLASSIC, **more)


def timeline(title, description, *queries, points=200, **more):
    """States over time in words, one row for each series."""
    built = statetimeline.Panel().show_value(look.VisibilityMode.AUTO).merge_values(True).row_height(0.85)
    built.fill_opacity(80).line_width(0).max_data_points(points).legend(LEGEND)
    built.tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.SINGLE).sort(look.SortOrder.NONE))
    return panel(built, title, description, queries, **more)


def buckets(title, description, expr, *, unit):
    """The buckets of a histogram over time: `expr` keeps `le`. Buckets without observations are not drawn."""
    scheme = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Spectral").steps(64)
    built = heatmap.Panel().calculate(False).cell_gap(1).max_data_points(200).show_legend().show_y_histogram()
    built.color(scheme.exponent(0.5).reverse(True)).cell_values(heatmap.CellValues().unit("ops"))
    built.filter_values(heatmap.FilterValueRange().le(1e-9)).mode(look.TooltipDisplayMode.SINGLE)
    built.rows_frame(heatmap.RowsHeatmapOptions().layout(look.HeatmapCellLayout.AUTO))
    built.y_axis(heatmap.YAxisConfig().axis_placement(look.AxisPlacement.LEFT).unit(unit))
    return panel(built, title, description, [query(expr, "{{le}}", HEATMAP)], unit=unit)


def bars(title, description, *queries, **more):
    """Horizontal bars, one for each series."""
    built = bargauge.Panel().min(0).display_mode(look.BarGaugeDisplayMode.BASIC).show_unfilled(True)
    built.value_mode(look.BarGaugeValueMode.COLOR).orientation(look.VizOrientation.HORIZONTAL)
    built.reduce_options(LAST_VALUE)
    return panel(built, title, description, queries, mode=model.FieldColorModeId.CONTINUOUS_GR_YL_RD, **more)


def rows(title, description, exprs, columns, *, sort, descending=False, **more):
    """A table with one row for each object. Rows of several queries are merged if the labels they share are equal.

    `columns` are the fields to show, in this order. Fields with the prefix `-` are hidden.
    """
    hidden = [name[1:] for name in columns if name.startswith("-")]
    shown = [name for name in columns if not name.startswith("-")]
    order = {
        "excludeByName": dict.fromkeys(["Time", *hidden], True),
        "indexByName": {name: index for index, name in enumerate(shown)},
        "renameByName": {},
    }
    steps = {"merge": {}, "organize": order}.items()
    built = table.Panel().cell_height(look.TableCellHeight.SM).show_header(True).filterable(True)
    built.cell_options(look.TableAutoCellOptions())
    built.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    built.footer(common.TableFooterOptions().show(False).reducer([]).enable_pagination(True).count_rows(False))
    built.transformations([model.DataTransformerConfig(name, options=options) for name, options in steps])
    return panel(built, title, description, [instant(expr, kind=TABLE) for expr in exprs], **more)


# --- Annotations and variables ----------------------------------------------------------------------------------------


class Annotation(model.AnnotationQuery):
    """Marks in every graph of a dashboard. With `value_is_time`, the value is the time in milliseconds.

    The SDK lacks the properties that only annotations from Prometheus have.
    """

    def __init__(self, name, color, expr, text, *, value_is_time=False):
        super().__init__(name, DATASOURCE, icon_color=color, expr=expr, built_in=None)
        self.more = {"step": "15s", "titleFormat": name, "textFormat": text, "useValueForTime": value_is_time}

    def build(self):
        return self

    def to_json(self):
        return super().to_json() | self.more


def builtin_annotation():
    built = (
        dashboard.AnnotationQuery().name("Annotations & Alerts").type("dashboard").built_in(1).enable(True).hide(True)
    )
    return built.icon_color("rgba(0, 211, 255, 1)").datasource(model.DataSourceRef("grafana", "-- Grafana --"))


def datasource_variable():
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def label_variable(name, selector, label=None, *, include_all=True, all_value=None):
    """A variable with the values of a label, of which several can be selected.

    "All" becomes the expression `all_value`, or a list of all values, which no other job can match.
    """
    built = dashboard.QueryVariable(name).label(name.capitalize()).query(f"label_values({selector}, {label or name})")
    built.datasource(DATASOURCE).multi(True).sort(model.VariableSort.ALPHABETICAL_ASC).include_all(include_all)
    if include_all:
        built.current(model.VariableOption(True, ["All"], ["$__all"]))
    if all_value is not None:
        built.all_value(all_value)
    return built.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)


def choice_variable(name, label, values, default):
    options = [model.VariableOption(value == default, value, value) for value in values]
    built = dashboard.CustomVariable(name).label(label).values(",".join(values)).options(options)
    return built.current(options[values.index(default)])


# --- Dashboards -------------------------------------------------------------------------------------------------------


class Board:
    """A dashboard, built line by line from top to bottom."""

    def __init__(self, name, description, variables, annotations=()):
        self.builder = (
            dashboard.Dashboard(f"Magic tunnels / {name.capitalize()}").uid(uid(name)).description(description)
        )
        self.builder.tags([TAG]).readonly().tooltip(model.DashboardCursorSync.CROSSHAIR).refresh("30s").version(1)
        self.builder.time("now-6h", "now").variables([datasource_variable(), *variables])
        self.builder.annotations([builtin_annotation(), *annotations])
        siblings = dashboard.DashboardLink("Magic tunnels").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
        self.builder.link(siblings.icon("dashboard").include_vars(True).keep_time(True))

    def row(self, title):
        self.builder.with_row(dashboard.Row(title))

    def line(self, height, *panels, widths=None):
        """Adds panels side by side, with equal widths unless `widths` is set."""
        widths = widths or [COLUMNS // len(panels)] * len(panels)
        if sum(widths) != COLUMNS:
            raise ValueError(f"widths {widths} do not add up to {COLUMNS}")
        for one, width in zip(panels, widths, strict=True):
            self.builder.with_panel(one.height(height).span(width))

    def build(self):
        """The model of the dashboard, with what the SDK lacks or adds wrongly."""
        built = self.builder.build()
        built.schema_version = SCHEMA_VERSION
        for number, one in enumerate(built.panels, 1):
            one.id_val = number
        for variable in built.templating.list_val:
            # Only variables of the type `interval` have these.
            variable.auto = variable.auto_min = variable.auto_count = None
        return built

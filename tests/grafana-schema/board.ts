// The type of a dashboard's JSON file, made from the types of @grafana/schema. check.mjs replaces SCHEMA by a
// package. Later versions of the package lack the type of Prometheus' queries.

import type { TableFooterOptions } from '@grafana/schema';
import type { Dashboard, FieldConfigSource, Panel, RowPanel } from 'SCHEMA';
import type * as bargauge from 'SCHEMA/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from 'SCHEMA/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from 'SCHEMA/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from 'SCHEMA/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeline from 'SCHEMA/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as timeseries from 'SCHEMA/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as prometheus from '@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen';

// A type as JSON spells it: the members of enums are their values.
type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
    : T extends unknown[] ? Json<T[number]>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

// A panel of one type. `Panel` itself accepts all options and custom properties of fields.
type PanelOf<Type extends string, Options, Custom> = Omit<Json<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
    type: Type;
    title: string;
    // Grafana 12 has no footer of tables, and migrates it: it contains the pagination of tables in older versions.
    options: Json<Partial<Options>> & { footer?: Json<TableFooterOptions> };
    fieldConfig: Omit<Json<FieldConfigSource>, 'defaults'> & {
        defaults: Omit<Json<FieldConfigSource['defaults']>, 'custom'> & { custom?: Json<Partial<Custom>> };
    };
    targets: Json<prometheus.PrometheusDataQuery>[];
};

type AnyPanel =
    | PanelOf<'bargauge', bargauge.Options, object>
    | PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>
    | PanelOf<'stat', stat.Options, object>
    | PanelOf<'state-timeline', timeline.Options, timeline.FieldConfig>
    | PanelOf<'table', table.Options, table.FieldConfig>
    | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
    | (Omit<Json<RowPanel>, 'type' | 'panels'> & { type: 'row'; panels: [] });

// Properties of annotations and variables that only Prometheus data sources and the dashboard editor know.
type Annotations = { list: (Json<NonNullable<NonNullable<Dashboard['annotations']>['list']>[number]> & {
    expr?: string; step?: string; titleFormat?: string; textFormat?: string; tagKeys?: string; useValueForTime?: boolean;
})[] };

export type Board = Omit<Json<Dashboard>, 'panels' | 'annotations'> & { panels: AnyPanel[]; annotations: Annotations };

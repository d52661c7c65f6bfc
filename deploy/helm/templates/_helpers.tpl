{{- define "mte.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mte.fullname" -}}
{{- $name := include "mte.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mte.selector" -}}
app.kubernetes.io/name: {{ include "mte.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mte.labels" -}}
{{ include "mte.selector" . }}
app.kubernetes.io/component: {{ .Values.role }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The Secret with tokens and passwords; empty if there is none. */}}
{{- define "mte.secret" -}}
{{- if .Values.secret.existing -}}
{{- .Values.secret.existing -}}
{{- else if .Values.secret.values -}}
{{- include "mte.fullname" . -}}
{{- else if ne .Values.role "agent" -}}
{{- fail "set `secret.existing` to a Secret with the API token, or `secret.values.api-token`" -}}
{{- else if .Values.agent.username -}}
{{- fail "set `secret.existing` to a Secret with the key `hub-password`, or `secret.values.hub-password`" -}}
{{- end -}}
{{- end -}}

{{/* The path of a key of that Secret. */}}
{{- define "mte.secretFile" -}}
/run/secrets/magic-tunnel-exporter/{{ . }}
{{- end -}}

{{/* The configuration file. Keys that the chart sets only as a default come first, keys that it owns come last. */}}
{{- define "mte.config" -}}
{{- $defaults := dict -}}
{{- $owned := dict "state" (dict "directory" "/var/lib/magic-tunnel-exporter") -}}
{{- if .Values.web.existingSecret -}}
{{- $_ := set $defaults "web" (dict "open_health" true) -}}
{{- $_ := set $owned "web" (dict "config_file" "/run/secrets/magic-tunnel-exporter-web/web.yml") -}}
{{- end -}}
{{- if eq .Values.role "hub" -}}
{{- $expose := dict "expose" (list "reported" "edge" "exporter") -}}
{{- $_ := set $defaults "web" (merge $expose (default dict $defaults.web)) -}}
{{- end -}}
{{- if eq .Values.role "agent" -}}
{{- $_ := set $defaults "probe" (dict "enabled" true) -}}
{{- $_ := set $owned "inventory" (fromYaml (include "mte.inventory" .)) -}}
{{- else -}}
{{- $_ := set $owned "accounts" (fromYamlArray (include "mte.accounts" .)) -}}
{{- range $owned.accounts -}}
{{- if not (or .api_token_file .api_key_file) -}}
{{- $_ := set $defaults "cloudflare" (dict "api_token_file" (include "mte.secretFile" "api-token")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $defaults (deepCopy .Values.config) $owned) -}}
{{- end -}}

{{- define "mte.accounts" -}}
{{- if not .Values.accounts }}
{{- fail "set `accounts`: at least one with its `id`" }}
{{- end }}
{{- range .Values.accounts }}
{{- $account := omit . "tokenKey" }}
{{- with .tokenKey }}
{{- $_ := set $account "api_token_file" (include "mte.secretFile" .) }}
{{- end }}
{{ toYaml (list $account) }}
{{- end }}
{{- end -}}

{{- define "mte.inventory" -}}
{{- if not .Values.agent.hubs }}
{{- fail "set `agent.hubs` to the URLs of hubs" }}
{{- end }}
{{- with .Values.agent }}
url: {{ toJson .hubs }}
{{- with .sites }}
site: {{ toJson . }}
{{- end }}
prober: {{ default (include "mte.fullname" $) .prober | quote }}
{{- with .advertise }}
advertise: {{ quote . }}
{{- end }}
{{- with .username }}
basic_auth:
  username: {{ quote . }}
  password_file: {{ include "mte.secretFile" "hub-password" }}
{{- end }}
{{- if .ca }}
tls:
  ca_file: /etc/magic-tunnel-exporter/hub-ca.pem
{{- end }}
{{- end -}}
{{- end -}}

{{/* The groups of rule files in files/, with the settings of the release. */}}
{{- define "mte.groups" -}}
{{- $settings := .root.Values.prometheusRule -}}
{{- range .files -}}
{{- $groups := (fromYaml ($.root.Files.Get (printf "files/%s" .))).groups -}}
{{- range $groups -}}
{{- range .rules -}}
{{- if eq (default "" .record) "magic_tunnel:settings" -}}
{{- $_ := set . "expr" (printf "vector(%v)" $settings.objective) -}}
{{- $_ := set .labels "runbooks" $settings.runbooks -}}
{{- $_ := set .labels "dashboards" $settings.dashboards -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $groups }}
{{ end -}}
{{- end -}}

{{- define "rapport.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "rapport.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "rapport.name" .) -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains (include "rapport.name" .) .Release.Name -}}
{{- $name = .Release.Name -}}
{{- end -}}
{{- $name = $name | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%s: names of Services begin with a letter and have no dots; name the release so, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "rapport.selector" -}}
app.kubernetes.io/name: {{ include "rapport.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rapport.labels" -}}
{{ include "rapport.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "rapport.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rapport.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "rapport.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of a Secret: rapport.secret (list $ "databases") */}}
{{- define "rapport.secret" -}}
{{- $root := index . 0 -}}{{- $which := index . 1 -}}
{{- $given := (index $root.Values.secrets $which).existingSecret -}}
{{- if and $root.Values.secrets.create (not $given) -}}
{{- printf "%s-secrets" (include "rapport.fullname" $root) -}}
{{- else -}}
{{- required (printf "secrets.%s.existingSecret: name the Secret (README.md says what is in it), or set secrets.create for a trial" $which) $given -}}
{{- end -}}
{{- end -}}

{{/* Whether there is a file of tokens: services with keys need none, where callers have another way. */}}
{{- define "rapport.hasTokens" -}}
{{- with .Values.secrets -}}
{{- if or .create .tokens.existingSecret (not .serviceKeys.existingSecret) -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* A value as text for a variable: lists with commas, whole numbers without an exponent. */}}
{{- define "rapport.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A rule of a NetworkPolicy: to the peers of a value on its ports; none without ports. */}}
{{- define "rapport.egress" -}}
{{- if .ports -}}
- ports:
    {{- range .ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "rapport.dnsEgress" -}}
{{- if .Values.networkPolicy.dns.ports -}}
- ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - { port: {{ . }}, protocol: UDP }
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
  {{- with .Values.networkPolicy.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The ports of URLs, as JSON: {"ports": [443]} */}}
{{- define "rapport.urlPorts" -}}
{{- $found := list -}}
{{- range compact . -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $found = append $found (int (default (eq $url.scheme "http" | ternary "80" "443") $port)) -}}
{{- end -}}
{{- dict "ports" (uniq $found) | toJson -}}
{{- end -}}

{{- define "rapport.facts" -}}
{{- .Files.Get "files/rapport.json" -}}
{{- end -}}

{{/* All components that are rendered, as JSON: [{service, role, name, ports, plugins, values}] */}}
{{- define "rapport.components" -}}
{{- $root := . -}}
{{- $found := list -}}
{{- $facts := include "rapport.facts" . | fromJson -}}
{{- range $service, $about := $facts.services -}}
{{- range $role, $part := $about.roles -}}
{{- $own := dig $role dict (index $root.Values.services $service) -}}
{{- $values := mergeOverwrite (deepCopy (index $root.Values.roles $role)) (deepCopy $own) -}}
{{- if $values.enabled -}}
{{- $ports := $part.ports -}}
{{- if not $root.Values.inboundMail.enabled -}}{{- $ports = omit $ports "smtp" -}}{{- end -}}
{{- $found = append $found (dict "service" $service "role" $role "name" (printf "%s-%s-%s" (include "rapport.fullname" $root) $service $role) "ports" $ports "plugins" $about.plugins "values" $values) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "components" $found | toJson -}}
{{- end -}}

{{- define "rapport.componentSelector" -}}
{{ include "rapport.selector" (index . 0) }}
app.kubernetes.io/component: {{ printf "%s-%s" (index . 1).service (index . 1).role }}
{{- end -}}

{{/* Labels of a component's pods; NetworkPolicies pick by service and role. */}}
{{- define "rapport.componentLabels" -}}
{{ include "rapport.componentSelector" . }}
rapport/service: {{ (index . 1).service }}
rapport/role: {{ (index . 1).role }}
{{- end -}}

{{- define "rapport.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rapport.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* How long a process may take to stop: the endpoints' delay, calls and streams one after the other, the rest. */}}
{{- define "rapport.grace" -}}
{{- $grace := dig "shutdownGraceSeconds" 10 .Values.settings -}}
{{- add 20 (mul 2 (ceil $grace | int64)) -}}
{{- end -}}

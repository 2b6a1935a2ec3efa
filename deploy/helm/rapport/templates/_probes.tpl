{{/*
Ready: the process takes calls. Alive: it answers at all; a busy one must not be killed, so its health page is asked and
not the API, whose threads may all be taken. A start may wait for a plugin or a slow database.
*/}}
{{- define "rapport.probes" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if not $component.ports.metrics }}
# A sender serves nothing that could be asked; its own watchdog ends it when it is stuck.
readinessProbe:
  exec:
    command: [test, -s, /tmp/sender.ready]
  periodSeconds: 10
{{- else }}
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 60
readinessProbe:
  {{- $encrypted := $root.Values.secrets.tls.existingSecret }}
  {{- if and (eq $component.role "api") (eq $root.Values.apiReadiness "grpc") (not $encrypted) }}
  grpc: { port: {{ $component.ports.grpc }} }
  {{- else }}
  httpGet: { path: /healthz, port: metrics }
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- if or (eq $component.role "api") (eq $component.role "web") }}
lifecycle:
  preStop:
    # Until no caller is sent here any more.
    sleep: { seconds: 5 }
{{- end }}
{{- end }}
{{- end -}}

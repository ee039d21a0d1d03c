using './main.bicep'

param environmentName = readEnvironmentVariable('ENVIRONMENT_NAME', 'dev')
param nextAuthUrl = readEnvironmentVariable('NEXTAUTH_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')

// No always-ready instance: while the app is idle, only the alerts and the recovery timer cost money (docs/deploy.md).
param instanceMemoryMB = 2048
param maximumInstanceCount = 40
param alwaysReadyHttp = 0
param dailyBudgetUsd = '5'
param alertDailyUsd = 5

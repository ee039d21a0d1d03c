using './main.bicep'

param environmentName = readEnvironmentVariable('ENVIRONMENT_NAME', 'dev')
param nextAuthUrl = readEnvironmentVariable('NEXTAUTH_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')

// Nothing costs anything while nobody generates.
param instanceMemoryMB = 2048
param maximumInstanceCount = 40
param alwaysReadyHttp = 0
param dailyBudgetUsd = '5'
param alertDailyUsd = 5

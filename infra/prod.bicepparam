using './main.bicep'

param environmentName = readEnvironmentVariable('ENVIRONMENT_NAME', 'prod')
param nextAuthUrl = readEnvironmentVariable('NEXTAUTH_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')

// One instance is always there: no cold start, and work that outlives its response is not scaled away at once.
param instanceMemoryMB = 2048
param alwaysReadyHttp = 1
param maximumInstanceCount = 100
param picturesSku = 'Standard_ZRS'
param logDays = 90

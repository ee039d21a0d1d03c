using './main.bicep'

param environmentName = readEnvironmentVariable('ENVIRONMENT_NAME', 'prod')
param nextAuthUrl = readEnvironmentVariable('NEXTAUTH_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')

// One always-ready instance avoids the cold start, and keeps work that goes on after its response.
param instanceMemoryMB = 2048
param alwaysReadyHttp = 1
param maximumInstanceCount = 100
param picturesSku = 'Standard_ZRS'
param logDays = 90

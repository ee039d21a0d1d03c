// Cosmos DB for NoSQL: the records, the ledger, and the leases of the change feed that fills it.

param name string
param identityName string
@allowed(['serverless', 'autoscale'])
param throughput string
param autoscaleMaxRUs int
param recordDays int
param location string
param tags object

var dataContributor = '00000000-0000-0000-0000-000000000002'

@description('Days that an entry of the ledger is kept: a year, and what it takes to close it.')
var ledgerDays = 400
var day = 86400

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: throughput == 'serverless' ? [{ name: 'EnableServerless' }] : []
    // A reader sees its own writes where it hands the session token on; every conditional write sees the newest version.
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: false }]
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous7Days' } }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: 'Enabled'
  }

  resource database 'sqlDatabases' = {
    name: 'catafract'
    properties: {
      resource: { id: 'catafract' }
      options: throughput == 'autoscale' ? { autoscaleSettings: { maxThroughput: autoscaleMaxRUs } } : {}
    }

    resource generations 'containers' = {
      name: 'generations'
      properties: {
        resource: {
          id: 'generations'
          partitionKey: { paths: ['/userId'], kind: 'Hash', version: 2 }
          defaultTtl: recordDays == 0 ? null : recordDays * day
          indexingPolicy: {
            indexingMode: 'consistent'
            automatic: true
            // Just what is asked for: prompts, texts and attempts cost nothing to write.
            includedPaths: [
              { path: '/userId/?' }
              { path: '/status/?' }
              { path: '/createdAt/?' }
              { path: '/leaseExpiresAt/?' }
              { path: '/blobStem/?' }
            ]
            excludedPaths: [{ path: '/*' }]
          }
        }
      }
    }

    resource usage 'containers' = {
      name: 'usage'
      properties: {
        resource: {
          id: 'usage'
          partitionKey: { paths: ['/userId'], kind: 'Hash', version: 2 }
          defaultTtl: ledgerDays * day
          indexingPolicy: {
            indexingMode: 'consistent'
            automatic: true
            includedPaths: [{ path: '/userId/?' }, { path: '/time/?' }, { path: '/period/?' }]
            excludedPaths: [{ path: '/*' }]
          }
        }
      }
    }

    resource leases 'containers' = {
      name: 'leases'
      properties: {
        resource: {
          id: 'leases'
          partitionKey: { paths: ['/id'], kind: 'Hash', version: 2 }
        }
      }
    }
  }

  // A role of Cosmos DB's own, for this database alone.
  resource readAndWrite 'sqlRoleAssignments' = {
    name: guid(account.id, identityName, dataContributor)
    properties: {
      principalId: identity.properties.principalId
      roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
      scope: '${account.id}/dbs/${database.name}'
    }
  }
}

#!/bin/sh
# Rolls the shop over instances behind a load balancer, half of them at a time, with plain aws commands; nobody who
# shops meanwhile notices. Needs a running `longshore server` and its three export lines. Run it again with the number of
# another release to roll that: ./run.sh 2
set -eu
cd "$(dirname "$0")"
: "${AWS_ENDPOINT_URL:?Set the export lines that longshore server prints when it starts.}"
release=${1:-$(cat VERSION)}
instances=${INSTANCES:-4}
port=${PORT:-8000}
trust() {
    printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s"},"Action":"sts:AssumeRole"}]}' "$1"
}

if ! aws deploy get-application --application-name shop >/dev/null 2>&1; then
    # Who the instances are, and whom the deployments act as.
    aws iam create-role --role-name shop-web --assume-role-policy-document "$(trust ec2.amazonaws.com)" >/dev/null
    aws iam create-instance-profile --instance-profile-name shop-web >/dev/null
    aws iam add-role-to-instance-profile --instance-profile-name shop-web --role-name shop-web
    aws iam create-role --role-name shop-deploy --assume-role-policy-document "$(trust codedeploy.amazonaws.com)" >/dev/null
    aws iam attach-role-policy --role-name shop-deploy \
        --policy-arn arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole

    # A load balancer with one listener before one target group.
    vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
    subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
    group=$(aws elbv2 create-target-group --name shop --protocol HTTP --port 8080 --vpc-id "$vpc" \
        --health-check-path /health --health-check-interval-seconds 5 --health-check-timeout-seconds 2 \
        --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text)
    aws elbv2 modify-target-group-attributes --target-group-arn "$group" \
        --attributes Key=deregistration_delay.timeout_seconds,Value=2 >/dev/null
    # shellcheck disable=SC2086  # one word a subnet
    balancer=$(aws elbv2 create-load-balancer --name shop --subnets $subnets \
        --query 'LoadBalancers[0].LoadBalancerArn' --output text)
    aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port "$port" \
        --default-actions "Type=forward,TargetGroupArn=$group" >/dev/null

    # The fleet: the agent on each knows by the metadata service who it is.
    aws ec2 run-instances --image-id "${IMAGE:-ami-longshore}" --count "$instances" --iam-instance-profile Name=shop-web \
        --tag-specifications 'ResourceType=instance,Tags=[{Key=app,Value=shop}]' >/dev/null
    aws ec2 wait instance-running --filters Name=tag:app,Values=shop

    aws deploy create-application --application-name shop >/dev/null
    aws deploy create-deployment-group --application-name shop --deployment-group-name prod \
        --service-role-arn "$(aws iam get-role --role-name shop-deploy --query Role.Arn --output text)" \
        --ec2-tag-filters Key=app,Value=shop,Type=KEY_AND_VALUE \
        --deployment-style deploymentType=IN_PLACE,deploymentOption=WITH_TRAFFIC_CONTROL \
        --load-balancer-info 'targetGroupInfoList=[{name=shop}]' \
        --deployment-config-name CodeDeployDefault.HalfAtATime >/dev/null
    aws s3 mb s3://shop-releases >/dev/null
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R appspec.yml shop.py scripts "$folder"
echo "$release" >"$folder/VERSION"
key=shop-$release-$(date +%s).zip
aws deploy push --application-name shop --s3-location "s3://shop-releases/$key" --source "$folder" >/dev/null
deployment=$(aws deploy create-deployment --application-name shop --deployment-group-name prod \
    --s3-location "bucket=shop-releases,key=$key,bundleType=zip" --query deploymentId --output text)
longshore watch "$deployment"
address=$(aws elbv2 describe-load-balancers --names shop --query 'LoadBalancers[0].DNSName' --output text)
echo "The shop is open on http://$address:$port/"
